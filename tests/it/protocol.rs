//! The task's message, property by property and header by header, as the worker protocol has it.

use crate::harness::{Answer, DOMAIN, Scene, TaskMessage};
use activity_sim::{ActivityType, Schedule};
use lapin::types::AMQPValue;
use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

/// What every token of the simulator's begins with.
const TOKEN: &str = "AAAAKgAAAAIAAAAAAAAA";

fn unix_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_millis()).expect("fits")
}

/// All headers; panics at a value that is neither a long string nor a 64-bit integer.
fn headers(task: &TaskMessage) -> BTreeMap<String, String> {
    let table = task.properties.headers().as_ref().expect("headers");
    let names = table.inner().keys().map(ToString::to_string);
    names
        .map(|name| {
            let value = task.header(&name).expect("it is there");
            (name, value)
        })
        .collect()
}

fn text(property: &Option<lapin::types::ShortString>) -> &str {
    property.as_ref().expect("the property is there").as_str()
}

#[tokio::test]
async fn a_task_message_has_the_properties_that_the_protocol_promises() {
    let scene = Scene::new().await;
    let before = unix_ms() / 1_000;
    let (_, task) = scene
        .task(Schedule {
            input: Some(r#"{"n": 1}"#.to_owned()),
            ..Scene::plain()
        })
        .await;
    let after = unix_ms() / 1_000;
    let properties = &task.properties;
    assert_eq!(task.body, r#"{"n": 1}"#, "byte for byte");
    let id = text(properties.message_id());
    let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    assert!(id.len() == 32 && id.chars().all(hexadecimal), "{id}");
    assert_eq!(text(properties.correlation_id()), id);
    assert_eq!(text(properties.kind()), "activity");
    assert_eq!(text(properties.app_id()), "activity-bridge");
    assert_eq!(text(properties.content_type()), "application/json");
    assert_eq!(text(properties.content_encoding()), "utf-8");
    assert_eq!(*properties.delivery_mode(), Some(2), "persistent");
    let timestamp = i64::try_from(properties.timestamp().expect("a timestamp")).expect("fits");
    assert!(
        (before..=after).contains(&timestamp),
        "{before} {timestamp} {after}"
    );
    assert!(text(properties.reply_to()).starts_with("activity-bridge.replies."));
    assert_eq!(
        (properties.expiration(), properties.priority()),
        (&None, &None)
    );
    assert!(!task.redelivered);
}

#[tokio::test]
async fn a_task_message_has_the_headers_that_the_protocol_promises_and_no_others() {
    let scene = Scene::new().await;
    let activity_type = ActivityType::new("charge", "2.1");
    let (id, task) = scene
        .task(Schedule {
            activity_type,
            workflow_id: Some("order-7".to_owned()),
            ..Scene::plain()
        })
        .await;
    let record = scene.world.sim.task(&id).expect("a record");
    let mut found = headers(&task);
    let event: i64 = found
        .remove("started-event-id")
        .expect("an event")
        .parse()
        .expect("a number");
    assert!(event > 1, "{event}");
    let expected = [
        ("route", "payments"),
        ("source", "swf"),
        ("domain", DOMAIN),
        ("task-list", "payments"),
        ("workflow-id", "order-7"),
        ("run-id", &record.run_id),
        ("activity-id", &id),
        ("activity-type", "charge"),
        ("activity-version", "2.1"),
        ("reply-queue", &task.reply_to()),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(found, expected);
    let table = task.properties.headers().as_ref().expect("headers");
    for (name, value) in table.inner() {
        let number = matches!(value, AMQPValue::LongLongInt(_));
        assert_eq!(
            number,
            name.as_str() == "started-event-id",
            "{name}: {value:?}"
        );
    }
}

#[tokio::test]
async fn heartbeat_timeout_and_deadline_are_told_where_they_are_configured() {
    let scene = Scene::with("start_to_close_secs = 600\nheartbeat = { timeout_secs = 45 }").await;
    let before = unix_ms();
    let (_, task) = scene.task(Scene::plain()).await;
    let after = unix_ms();
    let table = task.properties.headers().as_ref().expect("headers");
    assert_eq!(
        table.inner().get("heartbeat-timeout-secs"),
        Some(&AMQPValue::LongLongInt(45))
    );
    let deadline: i64 = task
        .header("deadline-ms")
        .expect("a deadline")
        .parse()
        .expect("a number");
    assert!(
        (before + 600_000..=after + 600_000).contains(&deadline),
        "{before} {deadline}"
    );
}

#[tokio::test]
async fn the_content_type_is_json_only_where_the_input_is_and_no_input_is_an_empty_body() {
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
        let input = input.map(str::to_owned);
        let (_, task) = scene
            .task(Schedule {
                input: input.clone(),
                ..Scene::plain()
            })
            .await;
        assert_eq!(task.body, input.clone().unwrap_or_default());
        assert_eq!(
            text(task.properties.content_type()),
            content_type,
            "{input:?}"
        );
        assert_eq!(
            text(task.properties.content_encoding()),
            "utf-8",
            "{input:?}"
        );
    }
}

/// AMQP limits a short string to 255 bytes, and SWF a name to 256 characters.
#[tokio::test]
async fn a_long_name_of_an_activity_type_is_cut_in_the_type_and_whole_in_the_header() {
    let scene = Scene::new().await;
    for (name, cut) in [
        ("n".repeat(256), "n".repeat(255)),
        ("é".repeat(256), "é".repeat(127)),
    ] {
        let activity_type = ActivityType::new(&name, "v".repeat(64));
        let (id, task) = scene
            .task(Schedule {
                activity_type,
                ..Scene::plain()
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
async fn the_token_of_aws_is_in_no_message_and_in_no_line_of_the_log() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(Scene::plain()).await;
    let control = scene.inbox.bind("activity-bridge.control", "#").await;
    scene.world.sim.cancel([&id]);
    scene
        .inbox
        .reply(&task, Answer::of("heartbeat", "half"))
        .await;
    let cancel = scene.inbox.next(&control).await;
    scene.inbox.reply(&task, Answer::of("nonsense", "")).await;
    scene.world.closed(&id).await;
    let parked = scene.inbox.next("activity-bridge.parked").await;
    for message in [&task, &cancel, &parked] {
        let all = format!("{message:?}");
        assert!(!all.contains(TOKEN), "{all}");
        for (name, value) in headers(message) {
            assert!(value.len() <= 256, "{name} is as long as a token: {value}");
        }
    }
    scene.bridge.idle().await;
    let log = scene.bridge.log();
    assert!(
        log.contains("DEBUG settled") && !log.contains(TOKEN),
        "{log}"
    );
}
