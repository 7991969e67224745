//! What a worker hears that asks, with a heartbeat or `started`, how its task fares.

use crate::harness::{Answer, Inbox, PATIENCE, Scene, TaskMessage, eventually};
use activity_sim::TaskState;

/// Sends a sign of life with an address for the answer, and returns the answer's status.
async fn ask(inbox: &Inbox, task: &TaskMessage, kind: &'static str) -> String {
    let own = inbox.own_queue().await;
    let sign = Answer::of(kind, "").asking(&own);
    inbox.reply(task, sign).await;
    let answer = inbox.next(&own).await;
    let told = answer.properties.kind().as_ref().map(ToString::to_string);
    assert_eq!(told.as_deref(), Some("status"));
    let status = answer.header("status").expect("the header `status`");
    assert_eq!((answer.id(), &answer.body), (task.id(), &status));
    assert!(inbox.get(&own).await.is_none(), "answered twice");
    status
}

#[tokio::test]
async fn a_sign_of_life_that_asks_is_answered_alive() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(Scene::plain()).await;
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
    let (id, task) = scene.task(Scene::plain()).await;
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

#[tokio::test]
async fn a_sign_of_life_of_a_task_that_has_ended_is_answered_gone() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(Scene::plain()).await;
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    scene.world.closed(&id).await;
    scene.bridge.idle().await;
    for kind in ["started", "heartbeat"] {
        assert_eq!(ask(&scene.inbox, &task, kind).await, "gone", "{kind}");
    }
    scene.all_replies_acknowledged().await;
}

/// It is parked as any reply to an unknown task, and its worker is told to stop all the same.
#[tokio::test]
async fn a_sign_of_life_of_a_task_that_is_not_known_is_answered_gone() {
    let scene = Scene::new().await;
    let (_, task) = scene.task(Scene::plain()).await;
    let own = scene.inbox.own_queue().await;
    let unknown = "0123456789abcdef0123456789abcdef";
    let sign = Answer {
        correlation_id: Some(unknown.to_owned()),
        ..Answer::of("heartbeat", "").asking(&own)
    };
    scene.inbox.reply(&task, sign).await;
    let answer = scene.inbox.next(&own).await;
    assert_eq!(answer.header("status").as_deref(), Some("gone"));
    assert_eq!(answer.id(), unknown);
    scene.inbox.next("activity-bridge.parked").await;
}

/// The address of an answer may be gone with its worker; nothing comes of that.
#[tokio::test]
async fn an_answer_that_nobody_takes_disturbs_nothing() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(Scene::plain()).await;
    let sign = Answer::of("heartbeat", "half").asking("a queue that is not there");
    scene.inbox.reply(&task, sign).await;
    let heard = scene
        .world
        .sim
        .wait_for_task(&id, PATIENCE, |task| task.heartbeat_count == 1);
    heard.await.expect("the heartbeat reaches AWS");
    scene.all_replies_acknowledged().await;
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
}
