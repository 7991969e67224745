//! Body and properties.

use super::unix_ms;
use crate::harness::{Answer, Inbox, Route, Scene, Source, StepFunctions, Swf, TaskMessage, World};
use activity_sim::{ActivityType, Schedule};
use lapin::types::ShortString;
use rstest::rstest;
use std::collections::BTreeSet;

fn text(property: &Option<ShortString>) -> &str {
    property.as_ref().expect("the property is there").as_str()
}

async fn with_input(scene: &Scene, input: Option<&str>) -> TaskMessage {
    let schedule = Schedule {
        input: input.map(str::to_owned),
        ..scene.plain()
    };
    scene.task(schedule).await.1
}

/// The message of a plain task, on a route with these settings.
async fn message(settings: &str) -> TaskMessage {
    let scene = Scene::with(settings).await;
    scene.task(scene.plain()).await.1
}

#[rstest]
#[tokio::test]
async fn body_is_the_input_byte_for_byte_and_empty_where_there_is_none(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    for input in [
        None,
        Some(""),
        Some("plain words, größer"),
        Some("{ \"n\" :\t1,\r\n \"größe\": 2 } \n"),
    ] {
        let task = with_input(&scene, input).await;
        assert_eq!(task.body, source.input(input));
    }
}

#[tokio::test]
async fn content_type_is_json_only_where_the_input_is() {
    let scene = Scene::new().await;
    let (json, plain) = ("application/json", "text/plain");
    for (input, content_type) in [
        (None, plain),
        (Some(""), plain),
        (Some("{\"open\": "), plain),
        (Some("plain words, größer"), plain),
        (Some("[1, 2]"), json),
        (Some(" \"text\" "), json),
        (Some("17"), json),
        (Some("null"), json),
    ] {
        let task = with_input(&scene, input).await;
        let found = text(task.properties.content_type());
        assert_eq!(found, content_type, "{input:?}");
    }
}

#[tokio::test]
async fn content_encoding_is_utf_8() {
    let scene = Scene::new().await;
    for input in [None, Some("größer"), Some("[1]")] {
        let task = with_input(&scene, input).await;
        assert_eq!(text(task.properties.content_encoding()), "utf-8");
    }
}

#[rstest]
#[tokio::test]
async fn message_id_and_correlation_id_are_the_task_id_that_no_other_task_has(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    let mut ids = BTreeSet::new();
    for _ in 0..5 {
        let (_, task) = scene.task(scene.plain()).await;
        let id = text(task.properties.message_id());
        let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        assert!(id.len() == 32 && id.chars().all(hexadecimal), "{id}");
        assert_eq!(text(task.properties.correlation_id()), id);
        assert!(ids.insert(id.to_owned()), "{id} again");
    }
}

/// AMQP limits a short string to 255 bytes, and SWF a name to 256 characters.
#[tokio::test]
async fn type_is_the_name_of_the_activity_type_cut_where_amqp_takes_no_more() {
    let scene = Scene::new().await;
    for (name, cut) in [
        ("charge".to_owned(), "charge".to_owned()),
        ("n".repeat(256), "n".repeat(255)),
        ("é".repeat(256), "é".repeat(127)),
    ] {
        let activity_type = ActivityType::new(&name, "v".repeat(64));
        let (id, task) = scene
            .task(Schedule {
                activity_type,
                ..scene.plain()
            })
            .await;
        assert_eq!(text(task.properties.kind()), cut);
        assert_eq!(task.header("activity-type"), Some(name));
        assert_eq!(task.header("activity-version"), Some("v".repeat(64)));
        scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
        scene.world.closed(&id).await;
    }
}

#[tokio::test]
async fn type_is_the_name_of_the_activity_of_step_functions() {
    let scene = Scene::of(StepFunctions, "").await;
    let (_, task) = scene.task(scene.plain()).await;
    assert_eq!(text(task.properties.kind()), "payments");
}

#[tokio::test]
async fn reply_to_is_the_queue_of_the_process_that_polled_the_task() {
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let mut bridges = Vec::new();
    let mut queues = BTreeSet::new();
    for route in ["payments", "refunds"] {
        let settings = "poll_without_consumers = true";
        let bridge = world.bridge(&[Route::new(route).with(settings)]).await;
        bridge.route_is(route, "polling").await;
        bridges.push(bridge);
        let id = world.schedule(route, 1).remove(0);
        let task = inbox.next(route).await;
        assert!(task.reply_to().starts_with("activity-bridge.replies."));
        inbox.reply(&task, Answer::done(route).remove(0)).await;
        assert_eq!(world.closed(&id).await.result.as_deref(), Some(route));
        queues.insert(task.reply_to());
    }
    assert_eq!(queues.len(), bridges.len(), "{queues:?}");
}

#[rstest]
#[tokio::test]
async fn timestamp_is_the_second_of_the_poll(#[values(Swf, StepFunctions)] source: Source) {
    let scene = Scene::of(source, "").await;
    let before = unix_ms() / 1_000;
    let (_, task) = scene.task(scene.plain()).await;
    let after = unix_ms() / 1_000;
    let timestamp = task.properties.timestamp().expect("a timestamp");
    let timestamp = i64::try_from(timestamp).expect("fits");
    assert!(
        (before..=after).contains(&timestamp),
        "{before} {timestamp} {after}"
    );
}

#[tokio::test]
async fn app_id_is_the_bridges_name() {
    let task = message("").await;
    assert_eq!(text(task.properties.app_id()), "activity-bridge");
}

#[tokio::test]
async fn delivery_mode_is_persistent() {
    let task = message("").await;
    assert_eq!(*task.properties.delivery_mode(), Some(2));
}

#[tokio::test]
async fn priority_is_there_only_where_the_route_has_one() {
    for (settings, priority) in [
        ("", None),
        ("priority = 0", Some(0)),
        ("priority = 7", Some(7)),
    ] {
        let task = message(settings).await;
        assert_eq!(*task.properties.priority(), priority, "{settings}");
    }
}
