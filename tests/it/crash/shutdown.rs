//! A shutdown with tasks in flight, with a store that outlives the process.

use super::{HEARTBEAT, PAYMENTS, Place, done, route, schedule};
use crate::harness::{File, Redis, Store, Swf, World};
use activity_sim::TaskState;
use rstest::rstest;
use std::time::Duration;

#[rstest]
#[tokio::test]
async fn what_is_in_flight_when_the_grace_ends_is_kept_for_the_next_process(
    #[values(File, Redis)] store: Store,
) {
    let place = Place::new(store, HEARTBEAT).await;
    let settings = "[shutdown]\ngrace_secs = 4";
    let mut first = place.world.bridge_with(settings, &[place.route()]).await;
    let tasks = place.tasks(5).await;
    assert!(first.terminate().await.success());
    let open = |task: &activity_sim::TaskRecord| task.state == TaskState::Started;
    assert!(place.world.sim.tasks().iter().all(open));

    let bridge = place.bridge().await;
    assert_eq!(bridge.metric("tasks_in_flight").await, 5.0);
    for task in &tasks {
        place.inbox.reply(task, done(task)).await;
    }
    place.world.until("all", |s| s.completed == 5).await;
    place.is_settled(&bridge).await;
    place.world.assert_each_settled_once(5);
    assert_eq!(place.worker.seen().len(), 5, "published again");
}

/// The grace period is shorter than AWS holds a poll.
#[tokio::test]
async fn a_task_that_a_poll_brings_at_the_end_of_the_grace_is_kept_as_well() {
    let world = World::with_hold(Duration::from_secs(60))
        .await
        .kept_in(File);
    let _worker = world.worker(PAYMENTS, |task| vec![done(task)]).await;
    let routes = [route(HEARTBEAT, "")];
    let settings = "[shutdown]\ngrace_secs = 40";
    let mut first = world.bridge_with(settings, &routes).await;
    world.until("open polls", |s| s.open_polls > 0).await;
    first.signal("TERM");
    first.logged("flushing").await;
    schedule(&world, 0..1, HEARTBEAT);
    assert!(first.ended().await.success());
    assert_eq!(world.sim.summary().abandoned, 0);
    let _bridge = world.bridge(&routes).await;
    world.until("completed", |s| s.completed == 1).await;
}

#[rstest]
#[tokio::test]
async fn with_give_back_it_is_failed_back_to_aws(#[values(File, Redis)] store: Store) {
    let place = Place::new(store, HEARTBEAT).await;
    let settings = "[shutdown]\ngrace_secs = 30\ngive_back = true";
    let mut first = place.world.bridge_with(settings, &[place.route()]).await;
    place.tasks(3).await;
    assert!(first.terminate().await.success());
    for task in place.world.sim.tasks() {
        assert_eq!(task.state, TaskState::Failed);
        let words = Swf.words("ShutDown", &task);
        assert!(
            words.contains("shut down before the worker replied"),
            "{words}"
        );
    }
    let bridge = place.bridge().await;
    assert_eq!(bridge.metric("tasks_in_flight").await, 0.0);
}
