//! A shutdown with tasks in flight, with a store that outlives the process.

use super::{HEARTBEAT, Place, done};
use crate::harness::{File, Redis, Store, Swf};
use activity_sim::TaskState;
use rstest::rstest;

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

#[tokio::test]
async fn with_give_back_it_is_failed_back_to_aws() {
    let place = Place::new(Redis, HEARTBEAT).await;
    let settings = "[shutdown]\ngrace_secs = 20\ngive_back = true";
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
