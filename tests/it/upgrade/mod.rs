//! An upgrade from the first version with token stores: its queues, replies that wait in them, and its records.

mod first_version;

use crate::harness::{Answer, BridgeProcess, File, Inbox, Memory, Redis, Route, Store, World};
use activity_sim::TaskState;
use first_version::{
    FirstVersion, LeftTask, PARKING_QUEUE, PAYMENTS, queue_arguments, without_dead_letters,
};
use lapin::types::FieldTable;
use rstest::rstest;
use std::collections::HashSet;

fn route(settings: &str) -> Route {
    Route::new(PAYMENTS).with(settings)
}

/// The broker refuses a declaration with other arguments. The bridge does not meet that again and again.
fn assert_no_conflict(bridge: &BridgeProcess) {
    let log = bridge.log();
    for words in ["other arguments", "no connection to the broker"] {
        assert!(!log.contains(words), "{words:?} in {log}");
    }
}

fn assert_ended(world: &World, task: &LeftTask, state: TaskState, words: &str) {
    let ended = world.sim.task(&task.activity_id).expect("a task");
    let said = ended.result.as_deref().or(ended.reason.as_deref());
    assert_eq!((ended.state, said), (state, Some(words)), "{ended:?}");
    assert_eq!(ended.settle_calls, 1, "{ended:?}");
}

#[rstest]
#[tokio::test]
async fn replies_and_records_that_the_first_version_left_end_their_tasks_and_nothing_is_lost(
    #[values(File, Redis)] store: Store,
) {
    let world = World::new().await.kept_in(store);
    let first = FirstVersion::new(&world).await;
    let (published, begun) = (true, true);
    let rejected = first.poll(published, !begun).await;
    let completed = first.poll(published, !begun).await;
    let failed = first.poll(published, begun).await;
    let waits = first.poll(published, !begun).await;
    let works = first.poll(published, begun).await;
    let recorded = first.poll(!published, !begun).await;
    first.publish(&rejected).await;
    first.reject_first().await;
    first
        .reply(&completed, "completed", "before the upgrade")
        .await;
    first.reply(&failed, "failed", "the worker gave up").await;
    first.publish(&waits).await;
    first.park("parked before the upgrade").await;
    let all = [&rejected, &completed, &failed, &waits, &works, &recorded];
    first.keep(store, &all).await;

    let bridge = world.bridge(&[route("")]).await;
    world
        .until("what waited", |s| (s.completed, s.failed) == (1, 2))
        .await;
    let worker = world
        .worker(PAYMENTS, |_| Answer::done("by a worker"))
        .await;
    // A worker that began before the upgrade has the old address.
    first.reply(&works, "completed", "across the upgrade").await;
    world
        .until("the rest", |s| (s.completed, s.failed) == (4, 2))
        .await;
    bridge.idle().await;
    bridge.ready().await;
    assert_no_conflict(&bridge);
    for (task, state, words) in [
        (&rejected, TaskState::Failed, "rejected by a worker"),
        (&completed, TaskState::Completed, "before the upgrade"),
        (&failed, TaskState::Failed, "the worker gave up"),
        (&waits, TaskState::Completed, "by a worker"),
        (&works, TaskState::Completed, "across the upgrade"),
        (&recorded, TaskState::Completed, "by a worker"),
    ] {
        assert_ended(&world, task, state, words);
    }
    let mut seen: Vec<_> = worker.seen().iter().map(|task| task.id()).collect();
    seen.sort_unstable();
    let mut expected = [waits.id, recorded.id];
    expected.sort_unstable();
    assert_eq!(seen, expected, "each once");
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let parked = inbox.next(PARKING_QUEUE).await;
    assert_eq!(parked.body, "parked before the upgrade");
    assert!(inbox.get(PARKING_QUEUE).await.is_none(), "parked: more");
    assert_eq!(first.waiting_replies().await, 0);
}

#[rstest]
#[case::plain("", queue_arguments(true, 20))]
#[case::limited("delivery_limit = 3", queue_arguments(true, 3))]
#[case::without_dead_letters("dead_letters = false", without_dead_letters())]
#[tokio::test]
async fn queues_that_the_first_version_declared_are_used_from_the_first_start_on(
    #[case] settings: &str,
    #[case] arguments: FieldTable,
    #[values(Memory, File)] store: Store,
) {
    let world = World::new().await.kept_in(store);
    let _first = FirstVersion::with_queue(&world, arguments).await;
    let worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    for start in 1..=2 {
        let mut bridge = world.bridge(&[route(settings)]).await;
        bridge.route_is(PAYMENTS, "polling").await;
        bridge.ready().await;
        world.schedule(PAYMENTS, 1);
        world.until("completed", |s| s.completed == start).await;
        assert_no_conflict(&bridge);
        assert!(bridge.terminate().await.success());
    }
    let ids: HashSet<_> = worker.seen().iter().map(|task| task.id()).collect();
    assert_eq!(ids.len(), 2);
    world.assert_each_settled_once(2);
}
