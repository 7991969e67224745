//! How replies are read: what clients and gateways make of a reply must not hide what its worker says.

use crate::harness::{Scene, Source, StepFunctions, Swf, TaskMessage};
use activity_sim::TaskState;
use lapin::{BasicProperties, options::BasicPublishOptions, types::AMQPValue};
use rstest::rstest;

/// Publishes a reply with these properties, and waits for the confirm.
async fn publish(scene: &Scene, task: &TaskMessage, properties: BasicProperties, body: &str) {
    let published = scene.inbox.channel().basic_publish(
        "".into(),
        task.reply_to().as_str().into(),
        BasicPublishOptions::default(),
        body.as_bytes(),
        properties,
    );
    published.await.expect("sent").await.expect("confirmed");
}

fn of(task: &TaskMessage) -> BasicProperties {
    BasicProperties::default().with_correlation_id(task.id().as_str().into())
}

fn with_header(properties: BasicProperties, name: &str, value: AMQPValue) -> BasicProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert(name.into(), value);
    properties.with_headers(headers)
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// As gateways do, and workers that answer by changing the body of what they got.
#[rstest]
#[tokio::test]
async fn a_worker_that_copies_all_properties_of_the_task_completes_it(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(
        source,
        "start_to_close_secs = 60\nexpire_at_deadline = true",
    )
    .await;
    let (id, task) = scene.task(scene.plain()).await;
    publish(&scene, &task, task.properties.clone(), "copied").await;
    let record = scene.world.closed(&id).await;
    assert_eq!(
        (record.state, record.result),
        (TaskState::Completed, Some(source.result("copied")))
    );
    assert_eq!(scene.bridge.metric("parked_replies_total").await, 0.0);
    scene.all_replies_acknowledged().await;
}

#[tokio::test]
async fn a_worker_behind_a_gateway_that_copies_the_type_fails_its_task_by_the_header() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    let properties = with_header(task.properties.clone(), "reply-type", text("failed"));
    let properties = with_header(properties, "reason", text("NoStock"));
    publish(&scene, &task, properties, "").await;
    let record = scene.world.closed(&id).await;
    assert_eq!(record.state, TaskState::Failed);
    assert_eq!(record.reason.as_deref(), Some("NoStock"));
}

/// Clients send an empty text for a property that nobody has set, and RabbitMQ sets `type` for AMQP 1.0.
#[tokio::test]
async fn a_type_that_nobody_has_chosen_counts_as_none() {
    let scene = Scene::new().await;
    for kind in ["", "amqp-1.0"] {
        let (id, task) = scene.task(scene.plain()).await;
        publish(&scene, &task, of(&task).with_type(kind.into()), "done").await;
        let record = scene.world.closed(&id).await;
        assert_eq!(record.result.as_deref(), Some("done"), "{kind:?}");
    }
    assert_eq!(scene.bridge.metric("parked_replies_total").await, 0.0);
    scene.all_replies_acknowledged().await;
}

#[tokio::test]
async fn an_empty_property_does_not_hide_the_header_of_the_same_meaning() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    let empty = BasicProperties::default()
        .with_correlation_id("".into())
        .with_type("".into());
    let properties = with_header(empty, "correlation-id", text(&task.id()));
    let properties = with_header(properties, "reply-type", text("failed"));
    publish(&scene, &task, properties, "details").await;
    let record = scene.world.closed(&id).await;
    assert_eq!(record.state, TaskState::Failed);
    assert_eq!(record.details.as_deref(), Some("details"));
    assert_eq!(scene.bridge.metric("parked_replies_total").await, 0.0);
}

#[tokio::test]
async fn a_correlation_id_with_dashes_capitals_or_braces_is_the_same_id() {
    let scene = Scene::new().await;
    let dashes = |id: &str| {
        let parts = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]];
        parts.join("-")
    };
    let forms: [fn(String) -> String; 3] = [
        |dashed| dashed,
        |dashed| dashed.to_uppercase().replace('-', ""),
        |dashed| format!("{{{dashed}}}"),
    ];
    for form in forms {
        let (id, task) = scene.task(scene.plain()).await;
        let written = form(dashes(&task.id()));
        let properties = BasicProperties::default().with_correlation_id(written.as_str().into());
        publish(&scene, &task, properties, "done").await;
        let record = scene.world.closed(&id).await;
        assert_eq!(record.result.as_deref(), Some("done"), "{written}");
    }
    assert_eq!(scene.bridge.metric("parked_replies_total").await, 0.0);
}

#[tokio::test]
async fn a_reason_of_failed_as_bytes_or_as_a_number_is_read() {
    let scene = Scene::new().await;
    for (value, reason) in [
        (
            AMQPValue::ByteArray(b"NoStock".as_slice().into()),
            "NoStock",
        ),
        (AMQPValue::LongInt(42), "42"),
        (AMQPValue::LongLongInt(-7), "-7"),
        (AMQPValue::ShortShortUInt(200), "200"),
        (AMQPValue::Double(1.5), "1.5"),
        (AMQPValue::Float(0.25), "0.25"),
        (AMQPValue::Boolean(true), "true"),
    ] {
        let (id, task) = scene.task(scene.plain()).await;
        let failed = of(&task).with_type("failed".into());
        publish(&scene, &task, with_header(failed, "reason", value), "").await;
        let record = scene.world.closed(&id).await;
        assert_eq!(record.reason.as_deref(), Some(reason));
    }
}
