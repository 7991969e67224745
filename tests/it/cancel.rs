//! Cancels: how AWS's wish, and the end of a task, reach its worker.

use crate::harness::{Answer, Scene, Source, StepFunctions, Swf, TEST_TIMEOUT, TaskMessage};
use activity_sim::{Schedule, TaskRecord, TaskState, Timeouts};
use lapin::types::ShortString;
use rstest::rstest;
use std::time::Duration;

const CONTROL: &str = "activity-bridge.control";

async fn until(
    scene: &Scene,
    id: &str,
    what: &str,
    condition: impl Fn(&TaskRecord) -> bool,
) -> TaskRecord {
    let found = scene
        .world
        .sim
        .wait_for_task(id, TEST_TIMEOUT, condition)
        .await;
    found.unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Waits until AWS has these details of a heartbeat: the bridge sends some of its own as well.
async fn heard(scene: &Scene, id: &str, details: &str) {
    until(scene, id, details, |task| {
        let newest = task.heartbeats.back();
        newest.and_then(|beat| beat.details.as_deref()) == Some(details)
    })
    .await;
}

fn kind(message: &TaskMessage) -> Option<&str> {
    let kind = message.properties.kind().as_ref();
    kind.map(ShortString::as_str)
}

/// The cancel of a task that AWS asks to cancel: the task's id, and the message as a queue for this key gets it.
async fn cancel() -> (String, TaskMessage) {
    let scene = Scene::new().await;
    let schedule = Schedule {
        request_cancel: true,
        ..scene.plain()
    };
    let (_, task) = scene.task(schedule).await;
    let own = scene.inbox.bind(CONTROL, &task.id()).await;
    scene.inbox.reply(&task, Answer::of("heartbeat", "")).await;
    (task.id(), scene.inbox.next(&own).await)
}

/// What is published with another key does not get into that queue.
#[tokio::test]
async fn the_routing_key_and_the_correlation_id_of_a_cancel_are_the_task_id() {
    let (id, cancel) = cancel().await;
    assert_eq!(cancel.id(), id);
}

#[tokio::test]
async fn the_type_of_a_cancel_is_cancel() {
    let (_, cancel) = cancel().await;
    assert_eq!(kind(&cancel), Some("cancel"));
}

/// What is `gone` instead is shown below.
#[tokio::test]
async fn the_header_reason_of_a_cancel_is_cancel_requested() {
    let (_, cancel) = cancel().await;
    assert_eq!(cancel.header("reason").as_deref(), Some("cancel-requested"));
}

#[tokio::test]
async fn the_body_of_a_cancel_is_the_reason_once_more() {
    let (_, cancel) = cancel().await;
    assert_eq!(Some(cancel.body.clone()), cancel.header("reason"));
}

/// Nobody listens for the cancel, either.
#[tokio::test]
async fn a_worker_that_was_done_already_completes_a_task_that_is_to_be_canceled() {
    let scene = Scene::new().await;
    let schedule = Schedule {
        request_cancel: true,
        ..scene.plain()
    };
    let (id, task) = scene.task(schedule).await;
    scene.inbox.reply(&task, Answer::of("heartbeat", "")).await;
    until(&scene, &id, "a heartbeat", |task| task.heartbeat_count == 1).await;
    scene
        .inbox
        .reply(&task, Answer::of("completed", "done"))
        .await;
    let record = scene.world.closed(&id).await;
    assert_eq!(
        (record.state, record.result.as_deref()),
        (TaskState::Completed, Some("done"))
    );
    scene.all_replies_acknowledged().await;
}

#[tokio::test]
async fn a_cancel_is_announced_once_under_the_id_of_the_task() {
    let scene = Scene::with("heartbeat = { timeout_secs = 1 }").await;
    let (id, task) = scene.task(scene.plain()).await;
    let (_, bystander) = scene.task(scene.plain()).await;
    let own = scene.inbox.bind(CONTROL, &task.id()).await;
    let others = scene.inbox.bind(CONTROL, &bystander.id()).await;
    scene.inbox.reply(&task, Answer::of("heartbeat", "0")).await;
    heard(&scene, &id, "0").await;
    assert_eq!(scene.world.sim.cancel([&id]).requested.len(), 1);

    scene.inbox.reply(&task, Answer::of("heartbeat", "1")).await;
    let cancel = scene.inbox.next(&own).await;
    assert_eq!(kind(&cancel), Some("cancel"));
    assert_eq!(cancel.header("reason").as_deref(), Some("cancel-requested"));
    assert_eq!(
        (cancel.id(), cancel.body.as_str()),
        (task.id(), "cancel-requested")
    );

    // Each of these is answered with the request again, and the next is sent after whatever the last led to.
    for beat in 2..=4 {
        let details = beat.to_string();
        scene
            .inbox
            .reply(&task, Answer::of("heartbeat", &details))
            .await;
        heard(&scene, &id, &details).await;
    }
    assert!(scene.inbox.get(&own).await.is_none(), "announced twice");
    assert!(
        scene.inbox.get(&others).await.is_none(),
        "announced to another task"
    );
    scene
        .inbox
        .reply(&task, Answer::of("canceled", "stopped"))
        .await;
    let record = scene.world.closed(&id).await;
    assert_eq!(
        (record.state, record.details.as_deref()),
        (TaskState::Canceled, Some("stopped"))
    );
}

#[rstest]
#[tokio::test]
async fn a_worker_on_a_task_that_is_gone_is_told_and_the_slot_is_freed(
    #[values(Swf, StepFunctions)] source: Source,
) {
    // None of the bridge's own heartbeats finds out.
    let settings =
        "max_in_flight = 1\npollers = { min = 1, max = 1 }\nheartbeat = { timeout_secs = 600 }";
    let scene = Scene::of(source, settings).await;
    let timeouts = Timeouts {
        start_to_close: Some(Duration::from_millis(500)),
        ..Timeouts::default()
    };
    let (id, task) = scene.task(scene.timed(timeouts)).await;
    let own = scene.inbox.bind(CONTROL, &task.id()).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::TimedOut);
    assert_eq!(
        scene.world.sim.summary().open_polls,
        0,
        "the one slot is taken"
    );

    scene
        .inbox
        .reply(&task, Answer::of("heartbeat", "still here"))
        .await;
    let cancel = scene.inbox.next(&own).await;
    assert_eq!(kind(&cancel), Some("cancel"));
    assert_eq!(cancel.header("reason").as_deref(), Some("gone"));
    assert_eq!(cancel.id(), task.id());

    // The worker's last word is late, and the next task finds the slot.
    scene
        .inbox
        .reply(&task, Answer::done("too late").remove(0))
        .await;
    let next = scene.ended_by(Answer::done("in time").remove(0)).await;
    assert_eq!(next.state, TaskState::Completed);
    let record = scene.world.sim.task(&id).expect("a record");
    assert_eq!(
        (record.settle_calls, record.late_calls),
        (0, 1),
        "only the heartbeat was late"
    );
    scene.all_replies_acknowledged().await;
    assert_eq!(scene.bridge.metric("late_replies_total").await, 1.0);
    assert!(scene.inbox.get(&own).await.is_none(), "told twice");
}
