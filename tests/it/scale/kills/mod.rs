//! A bridge that is killed at random moments, and started again each time. Where it is the broker, its workers are killed
//! too.

mod endpoint;
mod worker;

use crate::{
    crash::{Hand, PAYMENTS, Toll, assert_none_parked, done, number, route, schedule},
    harness::{Answer, BridgeProcess, File, Inbox, TaskMessage, World, eventually},
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

/// Where kills come at random.
fn random() -> StdRng {
    let seed = seed();
    println!("KILLS_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Waits until this share of the tasks has ended, and for a moment more.
async fn moment(world: &World, random: &mut StdRng, share: (u32, u32)) {
    let share = u64::from(TASKS) * u64::from(share.0) / u64::from(share.1);
    world.until("progress", |s| s.completed >= share).await;
    let moment = Duration::from_millis(random.random_range(0..1_500));
    tokio::time::sleep(moment).await;
}

/// Ends what waits for that again and again, until no task is open. However long all takes, some must end within a minute.
async fn until_all_have_ended(world: &World, end: impl AsyncFn()) {
    let mut now = world.sim.summary();
    while now.open > 0 {
        now = eventually("the end of a task", || async {
            end().await;
            let then = world.sim.summary();
            (then.closed() > now.closed()).then_some(then)
        })
        .await;
    }
}

#[tokio::test]
async fn twenty_kills_at_random_moments_lose_none_of_ten_thousand_tasks() {
    let world = World::new().await.kept_in(File);
    let mut random = random();
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
    let hand = Hand::of(&world).await;
    while kills < KILLS {
        moment(&world, &mut random, (kills, KILLS + 1)).await;
        bridge.kill().await;
        kills += 1;
        logs.push(bridge.log());
        bridge = world.bridge(&routes).await;
        // Those of its lives before are ended in this one, or in the next.
        hand.end(worker.seen().into_iter().filter(is_long)).await;
    }
    until_all_have_ended(&world, async || {
        hand.end(worker.seen().into_iter().filter(is_long)).await;
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
