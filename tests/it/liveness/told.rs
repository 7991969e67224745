//! What a worker is told about its task, and when.

use super::{CONTROL, scene, timeouts, until};
use crate::harness::{Answer, Scene, StepFunctions, Swf, TEST_TIMEOUT};
use activity_sim::{FaultRule, TaskState};

/// The worker knows nothing of heartbeats; the bridge's own bring the cancel, and the first of them does.
#[tokio::test]
async fn a_cancel_arrives_with_the_next_heartbeat() {
    let scene = Scene::with("heartbeat = { timeout_secs = 18 }").await;
    let (id, task) = scene.task(scene.plain()).await;
    let own = scene.inbox.bind(CONTROL, &task.id()).await;
    let record = until(&scene.world, &id, "a heartbeat", |task| {
        task.heartbeat_count > 0
    });
    let before = record.await.heartbeat_count;
    assert_eq!(scene.world.sim.cancel([&id]).requested.len(), 1);
    until(&scene.world, &id, "the next heartbeat", |task| {
        task.heartbeat_count > before
    })
    .await;
    // No other is answered while the worker waits to be told.
    let hang = FaultRule::latency(Swf.heartbeat(), 2 * TEST_TIMEOUT);
    scene.world.sim.fault(hang);
    let told = scene.inbox.next(&own).await;
    assert_eq!(told.header("reason").as_deref(), Some("cancel-requested"));
    scene.world.sim.clear_faults();
    scene.inbox.reply(&task, Answer::of("canceled", "")).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Canceled);
}

#[tokio::test]
async fn a_worker_hears_of_a_cancel_and_then_that_the_task_is_gone_once_each() {
    let scene = scene(Swf, "").await;
    let (id, task) = scene.task(scene.plain()).await;
    let own = scene.inbox.bind(CONTROL, &task.id()).await;
    assert_eq!(scene.world.sim.cancel([&id]).requested.len(), 1);
    let told = scene.inbox.next(&own).await;
    assert_eq!(told.header("reason").as_deref(), Some("cancel-requested"));
    scene.world.sim.time_out([id.as_str()]);
    let told = scene.inbox.next(&own).await;
    assert_eq!(told.header("reason").as_deref(), Some("gone"));
    scene.bridge.idle().await;
    assert!(scene.inbox.get(&own).await.is_none(), "told twice");
}

/// What was announced while it waited in the queue, nobody could hear.
#[tokio::test]
async fn a_worker_that_begins_after_the_cancel_is_told_of_it() {
    for kind in ["started", "heartbeat"] {
        let scene = Scene::with("heartbeat = { timeout_secs = 3 }").await;
        let (id, task) = scene.task(scene.plain()).await;
        let early = scene.inbox.bind(CONTROL, &task.id()).await;
        assert_eq!(scene.world.sim.cancel([&id]).requested.len(), 1);
        scene.inbox.next(&early).await;
        let own = scene.inbox.bind(CONTROL, &task.id()).await;
        scene.inbox.reply(&task, Answer::of(kind, "")).await;
        let told = scene.inbox.next(&own).await;
        assert_eq!(
            told.header("reason").as_deref(),
            Some("cancel-requested"),
            "{kind}"
        );
        scene.inbox.reply(&task, Answer::of("canceled", "")).await;
        assert_eq!(scene.world.closed(&id).await.state, TaskState::Canceled);
    }
}

#[tokio::test]
async fn a_worker_that_begins_a_task_that_is_gone_is_told_so() {
    let scene = scene(StepFunctions, ", by = 'worker'").await;
    let (id, task) = scene.task(scene.timed(timeouts())).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::TimedOut);
    scene.bridge.idle().await;
    let own = scene.inbox.bind(CONTROL, &task.id()).await;
    scene.inbox.reply(&task, Answer::of("started", "")).await;
    let told = scene.inbox.next(&own).await;
    assert_eq!(told.header("reason").as_deref(), Some("gone"));
    scene.all_replies_acknowledged().await;
}
