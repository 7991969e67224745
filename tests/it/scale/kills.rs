//! A bridge that is killed at random moments, and started again each time.

use crate::{
    crash::{Hand, PAYMENTS, Toll, assert_none_parked, done, number, route, schedule},
    harness::{Answer, BridgeProcess, Broker, File, HOLD, Inbox, TaskMessage, World, eventually},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;

const TASKS: u32 = 10_000;
const KILLS: u32 = 20;
/// At most so many polls are open at once.
const POLLS: usize = 10;
/// As the bridge bounds it: open polls and unrecorded tasks, for each poller.
const UNPERSISTED_PER_POLL: usize = 4;
/// Longer than several short lives of the bridge together.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// One of forty tasks takes a worker that says that it has begun, and ends it much later.
fn is_long(task: &TaskMessage) -> bool {
    number(&task.body).is_multiple_of(40)
}

/// `KILLS_SEED=N` repeats the moments of a run, as far as a machine can.
fn seed() -> u64 {
    let given = std::env::var("KILLS_SEED").ok();
    given.map_or_else(rand::random, |seed| seed.parse().expect("a number"))
}

#[tokio::test]
async fn twenty_kills_at_random_moments_lose_none_of_ten_thousand_tasks() {
    let world = World::new().await.kept_in(File);
    kill_at_random(world).await;
}

/// Each kill also takes the workers' connections, and the deliveries that they have.
#[tokio::test]
async fn twenty_kills_of_a_bridge_that_is_the_broker_lose_none_of_ten_thousand_tasks() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(File);
    kill_at_random(world).await;
}

async fn kill_at_random(world: World) {
    let seed = seed();
    println!("KILLS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    schedule(&world, 0..TASKS, HEARTBEAT);
    let answer = |task: &TaskMessage| match is_long(task) {
        true => vec![Answer::of("started", "")],
        false => vec![done(task)],
    };
    let worker = world.worker(PAYMENTS, answer).await;
    let routes = [route(
        HEARTBEAT,
        &format!("max_in_flight = 500\npollers = {{ max = {POLLS} }}"),
    )];
    let mut logs = Vec::new();
    let mut kills = 0;
    let mut bridge: BridgeProcess = world.bridge(&routes).await;
    let mut hand = Hand::of(&world).await;
    // Each when the next share of the tasks has ended, and a moment later.
    while kills < KILLS {
        let share = u64::from(TASKS) * u64::from(kills) / u64::from(KILLS + 1);
        world.until("progress", |s| s.completed >= share).await;
        let moment = Duration::from_millis(random.random_range(0..1_500));
        tokio::time::sleep(moment).await;
        bridge.kill().await;
        kills += 1;
        logs.push(bridge.log());
        bridge = world.bridge(&routes).await;
        if world.broker != Broker::RabbitMq {
            // Its connection ended with the bridge. What it replied before is late now, or was lost.
            hand = Hand::of(&world).await;
        }
        // Those of its lives before are ended in this one, or in the next.
        hand.end(worker.seen().into_iter().filter(is_long)).await;
    }
    eventually("the end of every task", || async {
        hand.end(worker.seen().into_iter().filter(is_long)).await;
        (world.sim.summary().open == 0).then_some(())
    })
    .await;
    bridge.idle().await;
    logs.push(bridge.log());

    assert_none_parked(&Inbox::connect(&world.amqp_uri).await).await;
    let seen = worker.seen();
    let toll = Toll::of(&world, &seen, &logs);
    let again = seen.len() - toll.completed;
    println!("{kills} kills: {toll:?}; {again} deliveries were of tasks that the worker had seen");
    assert!(toll.never_recorded() <= KILLS as usize * UNPERSISTED_PER_POLL * POLLS);
}
