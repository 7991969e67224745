//! Parked replies of a bridge that is the broker: they outlive the process, and a full parking is said to who must know.

use super::client::{Client, PAYMENTS, ack};
use crate::harness::{Answer, HOLD, Inbox, Route, Store, TaskMessage, World, command, eventually};
use activity_sim::{TaskRecord, TaskState};
use lapin::{BasicProperties, Confirmation, PublisherConfirm, options::BasicPublishOptions};
use std::{fs, os::unix::fs::PermissionsExt};

const PARKED: &str = "activity-bridge.parked";

/// A message of this size fits four times into the parking, but for what it needs beside its body.
const QUARTER: usize = 1 << 20;

fn route() -> Route {
    Route::new(PAYMENTS).plain_acks()
}

/// Publishes a reply to a task. Returns what waits for its confirm.
async fn publish(worker: &Client, task: &TaskMessage, kind: &str, body: &[u8]) -> PublisherConfirm {
    let properties = BasicProperties::default()
        .with_correlation_id(task.id().into())
        .with_type(kind.into());
    let published = worker.channel.basic_publish(
        "".into(),
        task.reply_to().into(),
        BasicPublishOptions::default(),
        body,
        properties,
    );
    published.await.expect("it is sent")
}

/// Publishes a reply to the next task, and acknowledges the task. Says whether the reply is confirmed, and how the task ended.
async fn end_next(
    place: &World,
    worker: &mut Client,
    kind: &str,
    body: &[u8],
) -> (bool, TaskRecord) {
    let id = place.schedule(PAYMENTS, 1).remove(0);
    let (task, delivery) = worker.next().await;
    let confirm = publish(worker, &task, kind, body).await.await;
    ack(&delivery).await;
    let taken = matches!(confirm.expect("an answer"), Confirmation::Ack(_));
    (taken, place.closed(&id).await)
}

/// The notes of `/readyz` about the route, of a bridge that is ready.
async fn notes(bridge: &crate::harness::BridgeProcess) -> Vec<String> {
    let (status, body) = bridge.get("/readyz").await;
    assert_eq!(status, 200, "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let notes = body["routes"][0]["notes"].as_array().expect("notes");
    let notes = notes.iter().map(|note| note.as_str().expect("a text"));
    notes.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_parked_reply_is_there_after_a_kill_until_a_consumer_acknowledges_it() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let mut bridge = world.bridge(&[route()]).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let id = world.schedule(PAYMENTS, 1).remove(0);
    let (task, _) = worker.next().await;
    // Its confirm comes when AWS has the failure, and the reply is parked before.
    worker.says(&task, Answer::of("finished", "4711")).await;
    assert_eq!(world.closed(&id).await.state, TaskState::Failed);
    bridge.kill().await;
    let path = world.dir().join("tasks.parked");
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    for last in [false, true] {
        let mut bridge = world.bridge(&[route()]).await;
        let worker = Client::consuming(&world.amqp_uri, 1).await;
        let mut reader = worker.reading(PARKED).await;
        let (parked, delivery) = reader.next().await;
        assert_eq!(parked.body, "4711");
        assert_eq!(parked.id(), task.id());
        let because = parked.header("parked-because").expect("a reason");
        assert!(because.contains("finished"), "{because}");
        if last {
            ack(&delivery).await;
            assert_eq!(worker.waiting(PARKED).await, 0);
            bridge.terminate().await;
        } else {
            bridge.kill().await;
        }
    }
    let _bridge = world.bridge(&[route()]).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    assert!(inbox.get(PARKED).await.is_none());
}

#[tokio::test]
async fn a_full_parking_nacks_a_reply_fails_its_task_and_says_so_until_there_is_room() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let bridge = world.bridge(&[route()]).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let body = vec![b'x'; QUARTER];
    for (number, has_room) in [true, true, true, false, false].into_iter().enumerate() {
        assert_eq!(notes(&bridge).await.is_empty(), number < 4);
        let (taken, ended) = end_next(&world, &mut worker, "finished", &body).await;
        assert_eq!(taken, has_room, "{number}");
        assert_eq!((ended.state, ended.settle_calls), (TaskState::Failed, 1));
    }
    let said = notes(&bridge).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("activity-bridge.parked is full"),
        "{said:?}"
    );
    bridge.logged("a reply could not be parked").await;
    assert_eq!(
        bridge.log().matches("a reply could not be parked").count(),
        1
    );
    assert_eq!(bridge.metric("parked_replies_total").await, 5.0);
    assert_eq!(bridge.metric("unparked_replies_total").await, 2.0);

    let inbox = Inbox::connect(&world.amqp_uri).await;
    assert_eq!(inbox.next(PARKED).await.body.len(), QUARTER);
    eventually("room", || async {
        notes(&bridge).await.is_empty().then_some(())
    })
    .await;
    let (taken, _) = end_next(&world, &mut worker, "finished", &body).await;
    assert!(taken);
}

#[tokio::test]
async fn an_outcome_that_aws_refuses_and_that_can_not_be_parked_is_nacked() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let bridge = world.bridge(&[route()]).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let body = vec![b'x'; QUARTER];
    let invalid =
        activity_sim::FaultRule::error("RespondActivityTaskCompleted", 400, "ValidationException");
    world.sim.fault(invalid);
    // They fill the parking, but for less than one more outcome.
    for bytes in [QUARTER, QUARTER, QUARTER, QUARTER - 20_000] {
        let (taken, _) = end_next(&world, &mut worker, "finished", &body[..bytes]).await;
        assert!(taken);
    }
    let (taken, ended) = end_next(&world, &mut worker, "completed", &body[..32_000]).await;
    assert!(!taken);
    assert_eq!((ended.state, ended.settle_calls), (TaskState::Failed, 1));
    assert_eq!(bridge.metric("unparked_replies_total").await, 1.0);
}

#[tokio::test]
async fn without_a_file_the_start_says_that_parked_replies_are_lost_with_the_process() {
    let world = World::of_the_endpoint(HOLD).await;
    let bridge = world.bridge(&[route()]).await;
    let said = bridge.logged("parked replies are kept in memory").await;
    assert!(
        said.contains(" WARN ") && said.contains("amqp.parked_path"),
        "{said}"
    );
}

#[tokio::test]
async fn a_file_of_something_else_refuses_the_start_and_is_left_as_it_is() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let path = world.dir().join("tasks.parked");
    fs::write(&path, "a letter").expect("written");
    let mut command = command();
    command
        .args(["run", "--config"])
        .arg(world.write_config("", &[route()]));
    command.env("AWS_ENDPOINT_URL_SWF", world.sim.url());
    let ended = command.output().await.expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    let place = path.display().to_string();
    assert!(
        said.contains("it is no file of parked replies") && said.contains(&place),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&path).expect("read"), "a letter");
}

#[tokio::test]
async fn a_thread_of_the_parked_replies_that_panics_ends_the_process() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let env = [("ACTIVITY_BRIDGE_PANIC_AT", "park-loop")];
    let mut bridge = world.bridge_in(&env, "", &[route()]).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    world.schedule(PAYMENTS, 1);
    let (task, _) = worker.next().await;
    let _confirm = publish(&worker, &task, "finished", b"?").await;
    assert_eq!(bridge.ended().await.code(), Some(1));
    let log = bridge.log();
    let line = log
        .lines()
        .find(|line| line.contains("a loop ended by itself"));
    assert!(
        line.is_some_and(|line| line.contains("the parked replies")),
        "{log}"
    );
}
