//! What an operator sees of a bridge that is the broker.

use super::client::{PAYMENTS, Place, ack};
use crate::harness::{Answer, HOLD, Route, Store, Swf, World, command, eventually};
use rstest::rstest;
use serde_json::Value;

#[rstest]
#[case::by_default("", "acknowledgements settle nothing until the process ends")]
#[case::written("ack = \"completes\"", "because ack = \"completes\" is written")]
#[tokio::test]
async fn workers_that_acknowledge_too_early_are_told_of_by_readyz_and_tasks(
    #[case] settings: &str,
    #[case] follows: &str,
) {
    let place = Place::with(Swf, settings).await;
    let note = || async {
        let (status, body) = place.bridge.get("/readyz").await;
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        body["routes"][0]["notes"].clone()
    };
    assert_eq!(note().await, serde_json::json!([]));
    let mut worker = place.consumer(1).await;
    place.world.schedule(PAYMENTS, 1);
    let (task, delivery) = worker.next().await;
    ack(&delivery).await;
    let completed = place
        .world
        .until("the completion", |all| all.completed == 1);
    completed.await;
    worker.says(&task, Answer::of("completed", "late")).await;
    let said = note().await;
    let said = said[0].as_str().expect("a note");
    assert!(
        said.contains("tasks completed too early: 1") && said.contains(follows),
        "{said}"
    );
    let (_, tasks) = place.bridge.get("/tasks").await;
    let tasks: Value = serde_json::from_str(&tasks).expect("JSON");
    let expected = serde_json::json!([{"route": PAYMENTS, "note": said}]);
    assert_eq!(tasks["notes"], expected);
}

#[tokio::test]
async fn the_metrics_say_how_many_tasks_the_workers_have_and_have_room_for() {
    let place = Place::with(Swf, "").await;
    let mut worker = place.consumer(3).await;
    place.world.schedule(PAYMENTS, 2);
    let _tasks = [worker.next().await, worker.next().await];
    let expected = [
        ("queue_consumers", 1.0),
        ("queue_unacknowledged", 2.0),
        ("queue_credit", 1.0),
        ("worker_connections", 1.0),
    ];
    for (series, value) in expected {
        eventually(series, || async {
            (place.bridge.metric(series).await == value).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_start_says_which_broker_it_is_and_what_an_acknowledgement_does() {
    let completes = || Route::new(PAYMENTS).plain_acks();
    let releases = || Route::new("mail").with("ack = \"releases\"");
    for (routes, ack) in [
        (vec![completes()], "ack=\"completes\""),
        (vec![releases()], "ack=\"releases\""),
        (
            vec![completes(), releases()],
            "ack=\"payments completes, mail releases\"",
        ),
    ] {
        let world = World::of_the_endpoint(HOLD).await;
        let bridge = world.bridge(&routes).await;
        let said = bridge.logged("the bridge is the broker").await;
        let address = world.amqp_uri.split(['@', '/']).nth(3);
        let address = format!("address={}", address.expect("an address"));
        for part in [" INFO ", "broker=\"endpoint\"", &address, ack] {
            assert!(said.contains(part), "no {part} in {said}");
        }
    }
}

#[tokio::test]
async fn check_says_what_an_acknowledgement_does_and_tests_the_file_of_parked_replies() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let routes = [
        Route::new("quick").plain_acks().with("ack_grace_ms = 50"),
        Route::new("mail").with("ack = \"releases\""),
    ];
    let config = world.write_config("", &routes);
    let path = world.dir().join("tasks.parked");
    let mut rows = Vec::new();
    for content in [None, Some("a letter")] {
        if let Some(content) = content {
            std::fs::write(&path, content).expect("written");
        }
        let mut check = command();
        check.args(["check", "--config"]).arg(&config);
        let ended = check.output().await.expect("it runs");
        assert_eq!(ended.status.code(), Some(i32::from(content.is_some())));
        rows.push(String::from_utf8(ended.stdout).expect("UTF-8"));
        assert_eq!(path.exists(), content.is_some(), "it changes nothing");
    }
    let row = |rows: &str, what: &str| {
        let found = rows.lines().find(|row| row.contains(what));
        found
            .unwrap_or_else(|| panic!("no {what} in {rows}"))
            .to_owned()
    };
    let quick = row(&rows[0], "route quick: ack = \"completes\"");
    assert!(quick.starts_with("ok"), "{quick}");
    assert!(
        quick.contains("completes the task after 50 ms, with no result"),
        "{quick}"
    );
    let released = row(&rows[0], "route mail: ack = \"releases\"");
    assert!(released.contains("settles nothing"), "{released}");
    let parked = row(&rows[0], "amqp.parked_path");
    assert!(
        parked.starts_with("note") && parked.contains("not there yet"),
        "{parked}"
    );
    let parked = row(&rows[1], "amqp.parked_path");
    assert!(
        parked.starts_with("FAIL") && parked.contains("it is no file"),
        "{parked}"
    );
}
