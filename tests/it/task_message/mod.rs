//! The task's message, row by row as the worker protocol has it.

mod headers;
mod properties;

use crate::harness::{Answer, Scene, Source, StepFunctions, Swf};
use rstest::rstest;
use std::time::{SystemTime, UNIX_EPOCH};

fn unix_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_millis()).expect("fits")
}

#[rstest]
#[tokio::test]
async fn the_token_of_aws_is_in_no_message_and_in_no_line_of_the_log(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    let (id, task) = scene.task(scene.plain()).await;
    let control = scene.inbox.bind("activity-bridge.control", "#").await;
    scene.world.sim.cancel([&id]);
    scene
        .inbox
        .reply(&task, Answer::of("heartbeat", "half"))
        .await;
    let cancel = scene.inbox.next(&control).await;
    scene.inbox.reply(&task, Answer::of("canceled", "")).await;
    let (id, other) = scene.task(scene.plain()).await;
    scene.inbox.reply(&other, Answer::of("nonsense", "")).await;
    scene.world.closed(&id).await;
    let parked = scene.inbox.next("activity-bridge.parked").await;
    let token = source.token();
    for message in [&task, &cancel, &other, &parked] {
        let all = format!("{message:?}");
        assert!(!all.contains(token), "{all}");
        let table = message.properties.headers().as_ref().expect("headers");
        for name in table.inner().keys() {
            let value = message.header(name.as_str()).expect("it is there");
            assert!(value.len() <= 256, "{name} is as long as a token: {value}");
        }
    }
    scene.bridge.idle().await;
    let log = scene.bridge.log();
    assert!(
        log.contains("DEBUG settled") && !log.contains(token),
        "{log}"
    );
}
