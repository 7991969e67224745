//! The answers to signs of life: a worker learns the status of its task.

use crate::harness::{
    Answer, Inbox, Scene, Source, StepFunctions, Swf, TEST_TIMEOUT, TaskMessage, eventually,
};
use activity_sim::TaskState;
use futures_util::StreamExt;
use lapin::{
    options::{BasicConsumeOptions, BasicGetOptions},
    types::ShortString,
};
use rstest::rstest;
use tokio::time::timeout;

/// Sends a sign of life with an address for the answer, and returns the answer.
async fn answer(inbox: &Inbox, task: &TaskMessage, kind: &'static str) -> TaskMessage {
    let own = inbox.own_queue().await;
    let sign = Answer::of(kind, "").asking(&own);
    inbox.reply(task, sign).await;
    let answer = inbox.next(&own).await;
    assert!(inbox.get(&own).await.is_none(), "answered twice");
    answer
}

/// The same, and the answer's status.
async fn ask(inbox: &Inbox, task: &TaskMessage, kind: &'static str) -> String {
    let answer = answer(inbox, task, kind).await;
    answer.header("status").expect("the header `status`")
}

/// A task's id, and the answer to its first heartbeat.
async fn first_answer() -> (String, TaskMessage) {
    let scene = Scene::new().await;
    let (_, task) = scene.task(scene.plain()).await;
    (task.id(), answer(&scene.inbox, &task, "heartbeat").await)
}

/// Through the default exchange, which needs no binding.
#[tokio::test]
async fn the_routing_key_of_an_answer_is_the_reply_to_of_the_heartbeat() {
    let scene = Scene::new().await;
    let (_, task) = scene.task(scene.plain()).await;
    let own = scene.inbox.own_queue().await;
    let sign = Answer::of("heartbeat", "").asking(&own);
    scene.inbox.reply(&task, sign).await;
    let got = eventually("an answer", || async {
        let options = BasicGetOptions { no_ack: true };
        let channel = scene.inbox.channel();
        let got = channel.basic_get(own.as_str().into(), options).await;
        got.expect("the queue can be read")
    })
    .await;
    assert_eq!(got.delivery.routing_key.as_str(), own);
    assert_eq!(got.delivery.exchange.as_str(), "");
}

#[tokio::test]
async fn the_correlation_id_of_an_answer_is_the_task_id() {
    let (id, answer) = first_answer().await;
    assert_eq!(answer.id(), id);
}

#[tokio::test]
async fn the_type_of_an_answer_is_status() {
    let (_, answer) = first_answer().await;
    let kind = answer.properties.kind().as_ref();
    assert_eq!(kind.map(ShortString::as_str), Some("status"));
}

/// The other two are shown below.
#[tokio::test]
async fn the_header_status_of_an_answer_is_alive() {
    let (_, answer) = first_answer().await;
    assert_eq!(answer.header("status").as_deref(), Some("alive"));
}

#[tokio::test]
async fn the_body_of_an_answer_is_the_status_once_more() {
    let (_, answer) = first_answer().await;
    assert_eq!(Some(answer.body.clone()), answer.header("status"));
}

/// RabbitMQ's way to be answered without a queue.
#[tokio::test]
async fn an_answer_reaches_amq_rabbitmq_reply_to() {
    let scene = Scene::new().await;
    let (_, task) = scene.task(scene.plain()).await;
    let direct = "amq.rabbitmq.reply-to";
    let options = BasicConsumeOptions {
        no_ack: true,
        ..Default::default()
    };
    let channel = scene.inbox.channel();
    let consumer = channel.basic_consume(direct.into(), "".into(), options, Default::default());
    let mut consumer = consumer.await.expect("a consumer");
    let sign = Answer::of("heartbeat", "").asking(direct);
    scene.inbox.reply(&task, sign).await;
    let answer = timeout(TEST_TIMEOUT, consumer.next())
        .await
        .expect("in time");
    let answer = answer.expect("open").expect("a delivery");
    assert_eq!(answer.data, b"alive");
}

#[rstest]
#[tokio::test]
async fn a_sign_of_life_that_asks_is_answered_alive(#[values(Swf, StepFunctions)] source: Source) {
    let scene = Scene::of(source, "").await;
    let (id, task) = scene.task(scene.plain()).await;
    for kind in ["started", "heartbeat"] {
        assert_eq!(ask(&scene.inbox, &task, kind).await, "alive", "{kind}");
    }
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
    scene.all_replies_acknowledged().await;
}

#[tokio::test]
async fn a_sign_of_life_that_asks_is_answered_cancel_requested() {
    let scene = Scene::with("heartbeat = { timeout_secs = 1 }").await;
    let (id, task) = scene.task(scene.plain()).await;
    assert_eq!(scene.world.sim.cancel([&id]).requested.len(), 1);
    eventually("the cancel to be told", || async {
        let status = ask(&scene.inbox, &task, "heartbeat").await;
        (status == "cancel-requested").then_some(())
    })
    .await;
    scene
        .inbox
        .reply(&task, Answer::of("canceled", "stopped"))
        .await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Canceled);
}

#[rstest]
#[tokio::test]
async fn a_sign_of_life_of_a_task_that_has_ended_is_answered_gone(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    let (id, task) = scene.task(scene.plain()).await;
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    scene.world.closed(&id).await;
    scene.bridge.idle().await;
    for kind in ["started", "heartbeat"] {
        assert_eq!(ask(&scene.inbox, &task, kind).await, "gone", "{kind}");
    }
    scene.all_replies_acknowledged().await;
}

/// It is parked as any reply to an unknown task. An answer would let anybody write to any queue by way of the bridge.
#[tokio::test]
async fn a_sign_of_life_of_a_task_that_is_not_known_is_parked_and_not_answered() {
    let scene = Scene::new().await;
    let (_, task) = scene.task(scene.plain()).await;
    let own = scene.inbox.own_queue().await;
    for (kind, id) in [
        ("heartbeat", "0123456789abcdef0123456789abcdef"),
        ("started", "0123456789abcdef0123456789abcdef"),
        ("heartbeat", "not a task id"),
        ("heartbeat", ""),
    ] {
        let sign = Answer {
            correlation_id: Some(id.to_owned()),
            ..Answer::of(kind, "").asking(&own)
        };
        scene.inbox.reply(&task, sign).await;
        scene.inbox.next("activity-bridge.parked").await;
    }
    scene.all_replies_acknowledged().await;
    // A later answer has come, so an earlier one would have.
    let status = ask(&scene.inbox, &task, "heartbeat").await;
    assert_eq!(status, "alive");
    assert!(scene.inbox.get(&own).await.is_none(), "answered");
}

/// A worker that may not write to these queues can't make the bridge do it.
#[tokio::test]
async fn no_answer_goes_to_a_routes_queue_or_to_the_parking_queue() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    for to in ["payments", "activity-bridge.parked"] {
        for kind in ["started", "heartbeat"] {
            scene
                .inbox
                .reply(&task, Answer::of(kind, "").asking(to))
                .await;
        }
    }
    // A later answer has come, and a later task, so an earlier answer would have.
    let status = ask(&scene.inbox, &task, "heartbeat").await;
    assert_eq!(status, "alive");
    scene.task(scene.plain()).await;
    let seen = scene.worker.seen();
    let kinds: Vec<_> = seen.iter().map(|task| task.properties.kind()).collect();
    assert_eq!(seen.len(), 2, "{kinds:?}");
    assert!(scene.inbox.get("activity-bridge.parked").await.is_none());
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
}

/// A worker that copies the properties of the task into its heartbeat names the bridge's own queue.
#[tokio::test]
async fn the_bridge_does_not_answer_itself() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    let sign = Answer::of("heartbeat", "half").asking(&task.reply_to());
    scene.inbox.reply(&task, sign).await;
    scene
        .inbox
        .reply(&task, Answer::of("heartbeat", "more"))
        .await;
    scene.all_replies_acknowledged().await;
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
    assert_eq!(scene.bridge.metric("parked_replies_total").await, 0.0);
}

/// The address of an answer may be gone with its worker; nothing comes of that.
#[tokio::test]
async fn an_answer_that_nobody_takes_disturbs_nothing() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    let sign = Answer::of("heartbeat", "half").asking("a queue that is not there");
    scene.inbox.reply(&task, sign).await;
    let heard = scene
        .world
        .sim
        .wait_for_task(&id, TEST_TIMEOUT, |task| task.heartbeat_count == 1);
    heard.await.expect("the heartbeat reaches AWS");
    scene.all_replies_acknowledged().await;
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
}
