//! Replies that end a task: what AWS is told, and how often.

use crate::harness::{
    Answer, File, Memory, Redis, Scene, Source, StepFunctions, Store, Swf, eventually,
    unacknowledged,
};
use activity_sim::{FaultRule, Schedule, TaskState, Timeouts};
use lapin::{
    BasicProperties,
    options::BasicPublishOptions,
    types::{AMQPValue, FieldTable},
};
use rstest::rstest;
use std::time::Duration;

/// Of the details, or the cause, that both services take.
const LIMIT: usize = 32_768;

#[rstest]
#[tokio::test]
async fn a_reply_of_type_none_or_completed_completes_the_task_with_its_body(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    let plain = Answer::done("plain").remove(0);
    for answer in [
        plain,
        Answer::of("completed", "typed"),
        Answer::of("completed", r#"{"as": "JSON"}"#),
        Answer::of("completed", ""),
    ] {
        let body = String::from_utf8(answer.body.clone()).expect("text");
        let task = scene.ended_by(answer).await;
        assert_eq!(task.state, TaskState::Completed);
        assert_eq!(task.result.unwrap_or_default(), source.result(&body));
        assert_eq!((task.settle_calls, task.late_calls), (1, 0));
    }
    scene.all_replies_acknowledged().await;
}

#[rstest]
#[tokio::test]
async fn the_longest_result_that_aws_takes_completes_the_task_whole(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    let result = source.longest_result();
    let task = scene.ended_by(Answer::of("completed", &result)).await;
    assert_eq!(task.state, TaskState::Completed);
    assert!(
        task.result == Some(source.result(&result)),
        "the result was changed"
    );
}

#[rstest]
#[tokio::test]
async fn failed_takes_the_reason_from_the_header_reason_or_error_and_the_details_from_the_body(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    let failed = || Answer::of("failed", "the long story");
    for (answer, reason) in [
        (failed().header("reason", "NoStock"), "NoStock"),
        (failed().header("error", "States.Timeout"), "States.Timeout"),
        (
            failed().header("error", "second").header("reason", "first"),
            "first",
        ),
        (
            failed().header("reason", "").header("error", "NoStock"),
            "NoStock",
        ),
        (failed().header("error", ""), "failed"),
        (failed(), "failed"),
    ] {
        let task = scene.ended_by(answer).await;
        assert_eq!(task.state, TaskState::Failed);
        assert_eq!(task.reason.as_deref(), Some(reason));
        assert_eq!(task.details.as_deref(), Some("the long story"));
    }
    scene.all_replies_acknowledged().await;
}

#[rstest]
#[tokio::test]
async fn a_reason_that_is_too_long_is_cut_with_a_mark(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    let longest = "ü".repeat(256);
    let task = scene
        .ended_by(Answer::of("failed", "").header("reason", &longest))
        .await;
    assert_eq!(task.reason, Some(longest));
    let answer = Answer::of("failed", "").header("reason", &"ü".repeat(300));
    let reason = scene.ended_by(answer).await.reason.unwrap_or_default();
    assert_eq!(reason.chars().count(), 256);
    assert!(
        reason.starts_with("üüü") && reason.ends_with("… [cut, was 300 characters]"),
        "{reason}"
    );
    assert_eq!(scene.bridge.metric("parked_replies_total").await, 0.0);
}

#[rstest]
#[tokio::test]
async fn details_of_failed_and_canceled_that_are_too_long_are_cut_with_a_mark(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    let task = scene
        .ended_by(Answer::of("failed", &"d".repeat(LIMIT + 1)))
        .await;
    let details = task.details.unwrap_or_default();
    assert_eq!(details.chars().count(), LIMIT);
    assert!(details.ends_with("… [cut, was 32769 characters]"));

    let schedule = source.asked_to_cancel(scene.plain());
    let (id, task) = scene.task(schedule).await;
    scene
        .inbox
        .reply(&task, Answer::of("canceled", &"c".repeat(40_000)))
        .await;
    let task = scene.world.closed(&id).await;
    assert_eq!(task.state, source.canceled());
    let details = task.details.unwrap_or_default();
    assert_eq!(details.chars().count(), LIMIT);
    assert!(details.ends_with("… [cut, was 40000 characters]"));
    assert_eq!(scene.bridge.metric("parked_replies_total").await, 0.0);
}

#[tokio::test]
async fn canceled_ends_a_task_that_aws_asked_to_cancel() {
    let scene = Scene::new().await;
    let (id, task) = scene
        .task(Schedule {
            request_cancel: true,
            ..scene.plain()
        })
        .await;
    scene
        .inbox
        .reply(&task, Answer::of("canceled", "stopped half way"))
        .await;
    let task = scene.world.closed(&id).await;
    assert_eq!(task.state, TaskState::Canceled);
    assert_eq!(task.details.as_deref(), Some("stopped half way"));
    scene.all_replies_acknowledged().await;
}

#[tokio::test]
async fn a_task_that_its_worker_canceled_unasked_is_failed_with_a_reason() {
    let scene = Scene::new().await;
    let task = scene.ended_by(Answer::of("canceled", "no time")).await;
    assert_eq!((task.state, task.settle_calls), (TaskState::Failed, 1));
    let reason = task.reason.unwrap_or_default();
    assert!(
        reason.contains("cancellation was not requested"),
        "{reason}"
    );
    assert_eq!(task.details.as_deref(), Some("no time"));
    assert_eq!(scene.bridge.metric("parked_replies_total").await, 0.0);
    scene.all_replies_acknowledged().await;
}

#[tokio::test]
async fn replies_may_come_through_the_exchange_activity_bridge_replies() {
    let scene = Scene::new().await;
    let answer = Answer {
        exchange: "activity-bridge.replies",
        ..Answer::of("completed", "by name")
    };
    let task = scene.ended_by(answer).await;
    assert_eq!(task.result.as_deref(), Some("by name"));
    scene.all_replies_acknowledged().await;
}

/// From a client that fills in whatever it can.
#[tokio::test]
async fn other_properties_and_headers_of_a_reply_mean_nothing() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    let mut headers = FieldTable::default();
    headers.insert("reason".into(), AMQPValue::LongString("none".into()));
    headers.insert("retries".into(), AMQPValue::LongLongInt(3));
    headers.insert("urgent".into(), AMQPValue::Boolean(true));
    headers.insert("nothing".into(), AMQPValue::Void);
    let properties = BasicProperties::default()
        .with_correlation_id(task.id().into())
        .with_message_id("reply-1".into())
        .with_reply_to(task.reply_to().into())
        .with_content_type("application/json".into())
        .with_content_encoding("gzip".into())
        .with_app_id("shop".into())
        .with_timestamp(7)
        .with_priority(9)
        .with_headers(headers);
    let options = BasicPublishOptions::default();
    let channel = scene.inbox.channel();
    let to = task.reply_to();
    let sent = channel.basic_publish("".into(), to.into(), options, b"no JSON", properties);
    sent.await.expect("sent").await.expect("confirmed");
    let record = scene.world.closed(&id).await;
    assert_eq!(
        (record.state, record.result.as_deref()),
        (TaskState::Completed, Some("no JSON"))
    );
    scene.all_replies_acknowledged().await;
}

#[rstest]
#[tokio::test]
async fn a_reply_is_acknowledged_only_when_aws_has_the_outcome(
    #[values((Swf, Memory), (StepFunctions, Memory), (Swf, File), (Swf, Redis))] kind: (
        Source,
        Store,
    ),
) {
    let (source, store) = kind;
    let scene = Scene::kept_in(store, source, "").await;
    let fault = FaultRule::error(source.complete(), 400, "ThrottlingException");
    scene.world.sim.fault(fault);
    let (id, task) = scene.task(scene.plain()).await;
    scene
        .inbox
        .reply(&task, Answer::done("kept").remove(0))
        .await;
    eventually("an attempt that AWS refused", || async {
        let retries = "settle_retries_total{kind=\"throttled\"";
        (scene.bridge.metric(retries).await >= 1.0).then_some(())
    })
    .await;
    assert_eq!(unacknowledged(&scene.world).await, 1);
    scene.world.sim.clear_faults();
    let task = scene.world.closed(&id).await;
    assert_eq!(task.result, Some(source.result("kept")));
    scene.all_replies_acknowledged().await;
}

#[rstest]
#[tokio::test]
async fn the_same_reply_twice_ends_the_task_once(#[values(Swf, StepFunctions)] source: Source) {
    let scene = Scene::of(source, "").await;
    let (id, task) = scene.task(scene.plain()).await;
    for _ in 0..2 {
        scene
            .inbox
            .reply(&task, Answer::done("once").remove(0))
            .await;
    }
    duplicates_changed_nothing(&scene, &id, 1).await;
}

#[rstest]
#[tokio::test]
async fn fifty_replies_at_once_end_the_task_once(
    #[values((Swf, Memory), (StepFunctions, Memory), (Swf, File), (Swf, Redis))] kind: (
        Source,
        Store,
    ),
) {
    let (source, store) = kind;
    let scene = Scene::kept_in(store, source, "").await;
    let (id, task) = scene.task(scene.plain()).await;
    let replies = (0..50).map(|_| scene.inbox.reply(&task, Answer::done("once").remove(0)));
    futures_util::future::join_all(replies).await;
    duplicates_changed_nothing(&scene, &id, 49).await;
}

/// Also when they say different things, while the first is on its way to AWS.
#[rstest]
#[tokio::test]
async fn replies_that_contradict_each_other_end_the_task_with_the_first(
    #[values((Swf, Memory), (StepFunctions, Memory), (Swf, File), (Swf, Redis))] kind: (
        Source,
        Store,
    ),
) {
    let (source, store) = kind;
    let scene = Scene::kept_in(store, source, "").await;
    let slow = Duration::from_millis(500);
    let fault = FaultRule::latency(source.complete(), slow);
    scene.world.sim.fault(fault);
    let (id, task) = scene.task(scene.plain()).await;
    scene
        .inbox
        .reply(&task, Answer::of("completed", "once"))
        .await;
    scene
        .inbox
        .reply(&task, Answer::of("failed", "no, it failed"))
        .await;
    scene
        .inbox
        .reply(&task, Answer::of("completed", "no, something else"))
        .await;
    duplicates_changed_nothing(&scene, &id, 2).await;
}

async fn duplicates_changed_nothing(scene: &Scene, id: &str, duplicates: u32) {
    let late = f64::from(duplicates);
    eventually(&format!("{duplicates} late replies"), || async {
        let counted = scene.bridge.metric("late_replies_total").await;
        (counted == late).then_some(())
    })
    .await;
    let task = scene.world.closed(id).await;
    let once = scene.world.source.result("once");
    assert_eq!(
        (task.state, task.result),
        (TaskState::Completed, Some(once))
    );
    assert_eq!(
        (task.settle_calls, task.late_calls),
        (1, 0),
        "AWS was told more than once"
    );
    assert_eq!(scene.bridge.metric("parked_replies_total").await, 0.0);
    scene.all_replies_acknowledged().await;
    scene.bridge.idle().await;
    assert_eq!(scene.bridge.metric("late_replies_total").await, late);
}

#[rstest]
#[tokio::test]
async fn a_reply_to_a_task_that_timed_out_is_acknowledged_and_not_sent_again(
    #[values(Swf, StepFunctions)] source: Source,
) {
    // None of the bridge's own heartbeats finds out.
    let settings =
        "max_in_flight = 1\npollers = { min = 1, max = 1 }\nheartbeat = { timeout_secs = 600 }";
    let scene = Scene::of(source, settings).await;
    let timeouts = Timeouts {
        start_to_close: Some(Duration::from_millis(300)),
        ..Timeouts::default()
    };
    let (id, task) = scene.task(scene.timed(timeouts)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::TimedOut);

    scene
        .inbox
        .reply(&task, Answer::done("too late").remove(0))
        .await;
    scene.bridge.idle().await;
    let gone = "settlements_total{kind=\"completed\",outcome=\"gone\"";
    assert_eq!(scene.bridge.metric(gone).await, 1.0);
    scene.all_replies_acknowledged().await;
    // Its slot is free, and nothing of it is left to be sent.
    let task = scene.ended_by(Answer::done("in time").remove(0)).await;
    assert_eq!(task.result, Some(source.result("in time")));
    let late = scene.world.sim.task(&id).expect("a record");
    assert_eq!((late.settle_calls, late.late_calls), (1, 1));
    assert_eq!(scene.bridge.metric("parked_replies_total").await, 0.0);
}
