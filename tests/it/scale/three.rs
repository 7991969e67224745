//! Three replicas: one is killed and one frozen in the middle of the work.

use crate::{
    crash::{Hand, PAYMENTS, Toll, assert_none_parked, done, number, schedule},
    harness::{
        BridgeProcess, Inbox, Redis, Route, TEST_TIMEOUT, TaskMessage, World, all_acknowledged,
        eventually, unix_ms,
    },
    replicas::beaten_by,
};
use activity_sim::{Summary, TaskRecord};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tokio::time::{Instant, interval};

const TASKS: u32 = 5_000;
/// So many wait with a worker until the end, with heartbeats; the others are answered at once.
const WAITING: u32 = 1_200;
/// Longer than the freeze: a task that AWS handed to a poll of the frozen process has no heartbeat until it thaws.
const HEARTBEAT: Duration = Duration::from_secs(60);
const FROZEN: Duration = Duration::from_secs(30);
/// So many of the others come each second.
const FED: u32 = 80;

fn waits(task: &TaskMessage) -> bool {
    number(&task.body) < WAITING
}

async fn replica(world: &World, name: &str) -> BridgeProcess {
    let settings = format!(
        "heartbeat = {{ timeout_secs = {} }}\nmax_in_flight = 1500\npollers = {{ min = 4, max = 8 }}",
        HEARTBEAT.as_secs()
    );
    let env = [("AWS_ACCESS_KEY_ID", name)];
    let bridge = world
        .bridge_in(&env, "", &[Route::new(PAYMENTS).with(&settings)])
        .await;
    bridge.route_is(PAYMENTS, "polling").await;
    bridge
}

/// The open tasks whose newest heartbeat is of this process, by activity id.
fn of(world: &World, name: &str) -> Vec<String> {
    let tasks = world.sim.tasks().into_iter();
    let open = tasks.filter(|task| task.state.is_open() && beaten_by(task) == Some(name));
    open.map(|task| task.activity_id).collect()
}

/// Waits until all these tasks have ended or got a heartbeat of another process since then, and says how many
/// milliseconds after that the last of them got it.
async fn taken_over(world: &World, tasks: &[String], name: &str, since: u64) -> u64 {
    let first_of_another = |task: &TaskRecord| {
        let beats = task.heartbeats.iter();
        let mut others =
            beats.filter(|beat| beat.at_ms >= since && beat.by.as_deref() != Some(name));
        others.next().map(|beat| beat.at_ms - since)
    };
    eventually(&format!("the tasks of {name} being taken over"), || async {
        let mut longest = 0;
        for id in tasks {
            let task = world.sim.task(id).expect("a record");
            match first_of_another(&task) {
                Some(after) => longest = longest.max(after),
                None if task.state.is_open() => return None,
                None => {}
            }
        }
        Some(longest)
    })
    .await
}

/// Kills one and freezes one, with tasks coming all the while, and thaws it again.
async fn kill_and_freeze(world: &World, killed: &mut BridgeProcess, frozen: &BridgeProcess) {
    let theirs = of(world, "killed");
    let since = unix_ms();
    killed.kill().await;
    let took = taken_over(world, &theirs, "killed", since).await;
    println!(
        "{} tasks of the killed one taken over within {took} ms",
        theirs.len()
    );
    assert!(!theirs.is_empty() && took < 10_000, "{took} ms");

    let theirs = of(world, "frozen");
    let (since, begun) = (unix_ms(), Instant::now());
    frozen.signal("STOP");
    let took = taken_over(world, &theirs, "frozen", since).await;
    println!(
        "{} tasks of the frozen one taken over within {took} ms",
        theirs.len()
    );
    assert!(!theirs.is_empty() && took < 10_000, "{took} ms");
    tokio::time::sleep_until(begun + FROZEN).await;
    frozen.signal("CONT");
    println!("thawed after {:?}", begun.elapsed());
}

/// Asserts that from a moment after the thaw on, no task had heartbeats of two processes.
fn assert_one_owner_each(world: &World, thawed: u64) {
    let since = thawed + 2_000;
    let mut owners = HashMap::<_, u32>::new();
    for task in world.sim.tasks() {
        let beats = task.heartbeats.iter().filter(|beat| beat.at_ms > since);
        let by: HashSet<_> = beats.filter_map(|beat| beat.by.as_deref()).collect();
        assert!(by.len() < 2, "{task:?}");
        for by in by {
            *owners.entry(by.to_owned()).or_default() += 1;
        }
    }
    println!("tasks with heartbeats after the thaw: {owners:?}");
    assert!(owners["well"] > 0);
}

#[tokio::test]
async fn one_of_three_replicas_is_killed_and_one_frozen_in_the_middle_of_five_thousand_tasks() {
    let world = World::new().await.kept_in(Redis);
    let answer = |task: &TaskMessage| match waits(task) {
        true => Vec::new(),
        false => vec![done(task)],
    };
    let worker = world.worker(PAYMENTS, answer).await;
    let (mut killed, frozen, well) = (
        replica(&world, "killed").await,
        replica(&world, "frozen").await,
        replica(&world, "well").await,
    );
    schedule(&world, 0..WAITING, HEARTBEAT);
    worker.has_seen(WAITING as usize).await;
    // Then it is known whose each is.
    let beaten = |task: &TaskRecord| task.heartbeat_count > 0;
    eventually("a heartbeat for each", || async {
        world.sim.tasks().iter().all(beaten).then_some(())
    })
    .await;

    let feeding = async {
        let mut ticks = interval(Duration::from_secs(1));
        for from in (WAITING..TASKS).step_by(FED as usize) {
            ticks.tick().await;
            schedule(&world, from..TASKS.min(from + FED), HEARTBEAT);
        }
    };
    tokio::join!(feeding, kill_and_freeze(&world, &mut killed, &frozen));
    let thawed = unix_ms();
    // Each is heard of again before the end begins.
    let later = |task: &TaskRecord| {
        let newest = task.heartbeats.back().map_or(0, |beat| beat.at_ms);
        newest > thawed + 3_000 || !task.state.is_open()
    };
    eventually("heartbeats after the thaw", || async {
        world.sim.tasks().iter().all(later).then_some(())
    })
    .await;
    assert_one_owner_each(&world, thawed);

    let hand = Hand::of(&world).await;
    hand.end(worker.seen().into_iter().filter(waits)).await;
    let ended = |s: &Summary| s.closed() == u64::from(TASKS);
    let ended = world.sim.wait_until(TEST_TIMEOUT, ended).await;
    ended.expect("all end in time");
    for bridge in [&frozen, &well] {
        bridge.idle().await;
        bridge.ready().await;
    }
    let seen = worker.seen();
    let inbox = Inbox::connect(&world.amqp_uri).await;
    all_acknowledged(&world, &inbox, &seen[0].reply_to()).await;
    assert_none_parked(&inbox).await;
    let logs = [killed.log(), frozen.log(), well.log()];
    let toll = Toll::of(&world, &seen, &logs);
    println!("{toll:?}");
    let settled_again = world
        .sim
        .tasks()
        .iter()
        .filter(|task| task.settle_calls > 1)
        .count();
    println!("{settled_again} tasks for which AWS was told twice, and said that they had ended");
}
