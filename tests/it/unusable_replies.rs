//! Replies that can't be used: none is dropped, and a workflow whose task was meant to end by one learns at once.

use crate::harness::{Answer, Scene, Source, StepFunctions, Swf, TEST_TIMEOUT, TaskMessage};
use activity_sim::{FaultRule, TaskRecord, TaskState};
use lapin::{
    BasicProperties,
    options::{BasicGetOptions, BasicPublishOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use rstest::rstest;

const PARKED: &str = "activity-bridge.parked";

async fn parked(scene: &Scene) -> (TaskMessage, String) {
    let message = scene.inbox.next(PARKED).await;
    let because = message.header("parked-because");
    let because = because.unwrap_or_else(|| panic!("no reason: {message:?}"));
    (message, because)
}

fn kind(message: &TaskMessage) -> Option<&str> {
    let kind = message.properties.kind().as_ref();
    kind.map(ShortString::as_str)
}

/// The workflow learns why.
fn is_failed_as_unusable(scene: &Scene, task: &TaskRecord, because: &str) {
    assert_eq!((task.state, task.settle_calls), (TaskState::Failed, 1));
    let words = format!("unusable reply: {because}");
    let (reason, details) = scene.world.source.failure("UnusableReply", &words, "");
    assert_eq!(task.reason.as_deref(), Some(reason.as_str()));
    assert_eq!(task.details, details);
}

#[rstest]
#[tokio::test]
async fn a_result_that_is_too_long_fails_the_task_with_that_reason_and_is_parked_whole(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    let (result, because) = source.too_long();
    let task = scene.ended_by(Answer::done(&result).remove(0)).await;
    is_failed_as_unusable(&scene, &task, because);
    let (message, why) = parked(&scene).await;
    assert_eq!(why, because);
    assert!(message.body == result, "it is parked as another");
    assert_eq!(message.id(), scene.worker.seen()[0].id());
    scene.all_replies_acknowledged().await;
}

#[rstest]
#[tokio::test]
async fn where_the_route_says_park_a_result_that_is_too_long_leaves_the_task_open(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "oversize_result = \"park\"").await;
    let (id, task) = scene.task(scene.plain()).await;
    let (result, because) = source.too_long();
    scene
        .inbox
        .reply(&task, Answer::done(&result).remove(0))
        .await;
    let (_, why) = parked(&scene).await;
    assert_eq!(why, because);
    scene.all_replies_acknowledged().await;
    let record = scene.world.sim.task(&id).expect("a record");
    assert_eq!((record.state, record.settle_calls), (TaskState::Started, 0));

    scene
        .inbox
        .reply(&task, Answer::done("shorter").remove(0))
        .await;
    let record = scene.world.closed(&id).await;
    assert_eq!(record.result, Some(source.result("shorter")));
}

#[rstest]
#[tokio::test]
async fn completed_failed_or_canceled_that_is_not_utf_8_is_parked_as_it_came_and_fails_the_task(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    for kind in ["completed", "failed", "canceled"] {
        let answer = Answer {
            body: vec![b'a', 0xff, 0xfe, b'b'],
            ..Answer::of(kind, "")
        };
        let task = scene.ended_by(answer).await;
        is_failed_as_unusable(&scene, &task, "its body is not UTF-8 from byte 1 on");
        let options = BasicGetOptions { no_ack: true };
        let got = scene
            .inbox
            .channel()
            .basic_get(PARKED.into(), options)
            .await;
        let got = got
            .expect("readable")
            .expect("parked before the task was failed");
        assert_eq!(got.delivery.data, [b'a', 0xff, 0xfe, b'b']);
    }
    scene.all_replies_acknowledged().await;
}

/// They were not meant to end the task, so they do not. AWS is told that the worker lives, and nothing else.
#[tokio::test]
async fn started_or_heartbeat_that_is_not_utf_8_is_parked_and_the_task_goes_on() {
    // The bridge has no reason for a heartbeat of its own while this lasts.
    let scene = Scene::with("heartbeat = { timeout_secs = 600 }").await;
    let (id, task) = scene.task(scene.plain()).await;
    for sign in ["started", "heartbeat"] {
        let answer = Answer {
            body: vec![0xff],
            ..Answer::of(sign, "")
        };
        scene.inbox.reply(&task, answer).await;
        let (message, why) = parked(&scene).await;
        assert_eq!(
            (kind(&message), why.as_str()),
            (Some(sign), "its body is not UTF-8 from byte 0 on")
        );
        // The second is too soon after the first to be passed on.
        let heard = |task: &TaskRecord| task.heartbeat_count == 1;
        let record = scene
            .world
            .sim
            .wait_for_task(&id, TEST_TIMEOUT, heard)
            .await;
        record.expect("a heartbeat");
    }
    scene.all_replies_acknowledged().await;
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    let record = scene.world.closed(&id).await;
    assert_eq!(
        (record.state, record.heartbeat_count),
        (TaskState::Completed, 1)
    );
    assert_eq!(record.heartbeats[0].details, None);
}

#[rstest]
#[tokio::test]
async fn a_reply_of_an_unknown_type_is_parked_with_its_headers_and_fails_the_task(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    let answer = Answer::of("complete", "almost")
        .header("shop", "A1")
        .header("parked-because", "mine");
    let task = scene.ended_by(answer).await;
    assert_eq!((task.state, task.settle_calls), (TaskState::Failed, 1));
    let words = source.words("UnusableReply", &task);
    assert!(
        words.starts_with("unusable reply: its type \"complete\" is none of completed"),
        "{words}"
    );
    let (message, why) = parked(&scene).await;
    assert!(why.starts_with("its type \"complete\" is none of"), "{why}");
    assert_eq!(
        (message.body.as_str(), kind(&message)),
        ("almost", Some("complete"))
    );
    assert_eq!(message.header("shop").as_deref(), Some("A1"));
    scene.all_replies_acknowledged().await;
}

#[tokio::test]
async fn a_reply_without_correlation_id_or_with_one_that_is_not_a_task_id_leaves_the_task_open() {
    let scene = Scene::new().await;
    let task = scene.task(scene.plain()).await;
    let twice = task.1.id().repeat(2);
    let malformed = "its correlation_id is not a task id";
    let rows = [
        ("", "it has no correlation_id"),
        ("7", malformed),
        ("not a task id, though it is a good deal longer", malformed),
        (&twice, malformed),
    ];
    touch_no_task(&scene, task, &rows).await;
}

#[tokio::test]
async fn a_reply_whose_correlation_id_is_none_of_this_processs_tasks_leaves_the_task_open() {
    let scene = Scene::new().await;
    let task = scene.task(scene.plain()).await;
    let unknown = "no task of this bridge has this correlation_id";
    let rows = [("0123456789abcdef0123456789abcdef", unknown)];
    touch_no_task(&scene, task, &rows).await;
}

/// Replies with these instead of the task's id are parked, with these reasons.
async fn touch_no_task(scene: &Scene, (id, task): (String, TaskMessage), rows: &[(&str, &str)]) {
    for (index, (correlation_id, because)) in rows.iter().enumerate() {
        let answer = Answer {
            correlation_id: Some((*correlation_id).to_owned()),
            ..Answer::of("completed", &format!("reply {index}"))
        };
        scene.inbox.reply(&task, answer).await;
        let (message, why) = parked(scene).await;
        assert_eq!(why, *because, "{correlation_id:?}");
        assert_eq!(message.body, format!("reply {index}"), "{correlation_id:?}");
        assert_eq!(kind(&message), Some("completed"), "{correlation_id:?}");
    }
    assert_eq!(
        scene.bridge.metric("parked_replies_total").await,
        rows.len() as f64
    );
    scene.all_replies_acknowledged().await;
    let record = scene.world.sim.task(&id).expect("a record");
    assert_eq!((record.state, record.settle_calls), (TaskState::Started, 0));
    for (_, because) in rows {
        scene.bridge.logged(because).await;
    }
}

#[tokio::test]
async fn a_parked_reply_has_what_it_came_with_and_the_header_parked_because() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    let mut headers = FieldTable::default();
    headers.insert("shop".into(), AMQPValue::LongString("A1".into()));
    headers.insert("attempt".into(), AMQPValue::LongInt(2));
    let properties = BasicProperties::default()
        .with_correlation_id(task.id().into())
        .with_type("complete".into())
        .with_content_type("text/csv".into())
        .with_reply_to("me".into())
        .with_headers(headers);
    let options = BasicPublishOptions::default();
    let channel = scene.inbox.channel();
    let to = task.reply_to();
    let sent = channel.basic_publish("".into(), to.into(), options, b"a;b", properties);
    sent.await.expect("sent").await.expect("confirmed");
    let (message, because) = parked(&scene).await;
    assert!(because.contains("\"complete\""), "{because}");
    let content_type = message.properties.content_type().as_ref();
    assert_eq!(
        (message.body.as_str(), message.id(), kind(&message)),
        ("a;b", task.id(), Some("complete"))
    );
    assert_eq!(content_type.map(ShortString::as_str), Some("text/csv"));
    assert_eq!(message.reply_to(), "me");
    assert_eq!(message.header("shop").as_deref(), Some("A1"));
    assert_eq!(message.header("attempt").as_deref(), Some("2"));
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Failed);
}

#[rstest]
#[tokio::test]
async fn an_outcome_that_aws_had_not_taken_when_the_deadline_passed_is_parked(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "start_to_close_secs = 2").await;
    let fault = FaultRule::error(source.complete(), 500, "InternalFailure");
    scene.world.sim.fault(fault);
    let (_, task) = scene.task(scene.plain()).await;
    scene
        .inbox
        .reply(&task, Answer::done("precious").remove(0))
        .await;
    let (message, because) = parked(&scene).await;
    assert_eq!(because, "the task's deadline passed");
    assert_eq!(
        (message.body.clone(), message.id(), kind(&message)),
        (source.result("precious"), task.id(), Some("completed"))
    );
    scene.all_replies_acknowledged().await;
    scene.bridge.idle().await;
}

/// From whatever strange client: an empty message without a single property.
#[tokio::test]
async fn a_message_without_any_property_is_parked() {
    let scene = Scene::new().await;
    let (_, task) = scene.task(scene.plain()).await;
    let published = scene.inbox.channel().basic_publish(
        "".into(),
        task.reply_to().as_str().into(),
        BasicPublishOptions::default(),
        b"",
        BasicProperties::default(),
    );
    published.await.expect("sent").await.expect("confirmed");
    let (message, why) = parked(&scene).await;
    assert_eq!(
        (message.body.as_str(), why.as_str()),
        ("", "it has no correlation_id")
    );
    scene.all_replies_acknowledged().await;
}

/// With the reason added they would not fit the one frame that AMQP has for headers, and the broker would end the
/// connection: with each delivery again.
#[tokio::test]
async fn a_reply_whose_headers_are_too_large_to_be_passed_on_is_parked_without_them() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    let answer = Answer::of("no such type", "body")
        .header("small", "kept")
        .header("zlarge", &"x".repeat(130_000));
    scene.inbox.reply(&task, answer).await;
    let (message, because) = parked(&scene).await;
    assert!(because.contains("no such type"), "{because}");
    assert_eq!(message.header("small").as_deref(), Some("kept"));
    assert_eq!(message.header("zlarge"), None);
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Failed);
    scene.all_replies_acknowledged().await;
    assert!(!scene.bridge.log().contains("no connection to the broker"));
}

#[tokio::test]
async fn a_parking_queue_that_was_deleted_is_declared_again() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    let delete = lapin::options::QueueDeleteOptions::default();
    let deleted = scene.inbox.channel().queue_delete(PARKED.into(), delete);
    deleted.await.expect("deleted");
    scene
        .inbox
        .reply(&task, Answer::of("no such type", ""))
        .await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Failed);
    let (_, because) = parked(&scene).await;
    assert!(because.contains("no such type"), "{because}");
}
