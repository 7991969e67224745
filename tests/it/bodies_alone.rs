//! Workers whose client shows a message's body and nothing else, and sets headers but no properties.

use crate::harness::{Answer, Scene};
use activity_sim::{Schedule, TaskState};
use lapin::{
    BasicProperties,
    options::BasicPublishOptions,
    types::{AMQPValue, FieldTable, ShortString},
};

#[tokio::test]
async fn with_properties_in_body_a_task_begins_with_them() {
    let scene = Scene::with("properties_in_body = true").await;
    let input = "first line\n\nthird".to_owned();
    let schedule = Schedule {
        input: Some(input.clone()),
        ..scene.plain()
    };
    let (_, task) = scene.task(schedule).await;
    let head = format!(
        "correlation-id: {}\nreply-to: {}\ntype: activity\n\n",
        task.id(),
        task.reply_to()
    );
    assert_eq!(task.body, head + &input);
    let content_type = task.properties.content_type().as_ref();
    assert_eq!(content_type.map(ShortString::as_str), Some("text/plain"));
}

#[tokio::test]
async fn headers_stand_in_for_the_properties_that_a_reply_has_not() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("correlation-id", task.id().as_str()),
        ("reply-type", "failed"),
        ("reason", "no such card"),
    ] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    scene
        .inbox
        .channel()
        .basic_publish(
            "".into(),
            task.reply_to().into(),
            BasicPublishOptions::default(),
            b"4242",
            BasicProperties::default().with_headers(headers),
        )
        .await
        .expect("published");
    let record = scene.world.closed(&id).await;
    assert_eq!(record.state, TaskState::Failed);
    assert_eq!(record.reason.as_deref(), Some("no such card"));
    assert_eq!(record.details.as_deref(), Some("4242"));
}

#[tokio::test]
async fn where_a_reply_has_the_properties_the_headers_that_stand_in_for_them_mean_nothing() {
    let scene = Scene::new().await;
    let answer = Answer::of("completed", "ok")
        .header("correlation-id", "of another task")
        .header("reply-type", "failed");
    let record = scene.ended_by(answer).await;
    assert_eq!(record.state, TaskState::Completed);
}
