//! Replies that no honest worker sends. The bridge parks each of them and goes on.

use crate::harness::{Answer, File, Route, Scene, Swf, World, http};
use activity_sim::TaskState;
use rstest::rstest;

/// What one header holds, as JSON. RabbitMQ's management API makes an AMQP array of a JSON array, and a table of an object.
///
/// A broker takes the headers of a message in one frame of 131,072 bytes. A level of arrays needs 5 bytes of it, a level of
/// tables with empty names 6.
fn nested(open: &str, close: &str, levels: usize) -> String {
    [open.repeat(levels), close.repeat(levels)].concat()
}

/// Publishes a message with this header `h` to a queue.
///
/// lapin would need a deep stack in the test's process as well, so this goes through the management API.
async fn publish(world: &World, queue: &str, kind: &str, header: &str) {
    let api = std::env::var("RABBITMQ_API").expect("the management API");
    let url = format!("{api}/api/exchanges/{}/amq.default/publish", world.vhost());
    // Written by hand: serde_json would need a deep stack, too.
    let message = format!(
        r#"{{"routing_key": "{queue}", "payload": "from afar", "payload_encoding": "string",
            "properties": {{"type": "{kind}", "headers": {{"shop": "A1", "h": {header}}}}}}}"#
    );
    let answer = http()
        .post(url)
        .body(message)
        .send()
        .await
        .expect("an answer");
    let answer = answer.text().await.expect("a text");
    assert_eq!(answer, r#"{"routed":true}"#);
}

/// Waits until such a message is parked. What the bridge can't read of its headers is left out.
async fn is_parked(scene: &Scene, kind: &str) {
    let parked = scene.inbox.next("activity-bridge.parked").await;
    let parked_kind = parked.properties.kind().as_ref().map(ToString::to_string);
    assert_eq!(parked_kind.as_deref(), Some(kind));
    assert_eq!(parked.body, "from afar");
    assert_eq!(
        parked.header("parked-because").as_deref(),
        Some("it has no correlation_id")
    );
    assert_eq!(parked.header("shop").as_deref(), Some("A1"));
    assert_eq!(parked.header("h"), None);
}

#[rstest]
#[case::arrays(nested("[", "]", 26_000))]
#[case::tables(nested(r#"{"":"#, "}", 21_000).replace(":}", ":[]}"))]
#[case::arrays_and_tables(nested(r#"[{"":"#, "}]", 11_800).replace(":}", ":[]}"))]
#[tokio::test]
async fn a_reply_whose_headers_are_nested_as_deep_as_a_frame_allows_is_parked(
    #[case] header: String,
) {
    let mut scene = Scene::kept_in(File, Swf, "").await;
    let (id, task) = scene.task(scene.plain()).await;
    let replies = task.reply_to();
    publish(&scene.world, &replies, "while it runs", &header).await;
    is_parked(&scene, "while it runs").await;
    // Otherwise the next process gets it again.
    scene.all_replies_acknowledged().await;

    // The next process finds another one in the queue.
    scene.bridge.kill().await;
    publish(&scene.world, &replies, "while it is down", &header).await;
    scene.bridge = scene.world.bridge(&[Route::new("payments")]).await;
    is_parked(&scene, "while it is down").await;

    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
    scene.all_replies_acknowledged().await;
    // Neither process has ended by itself.
    assert!(scene.bridge.terminate().await.success());
}
