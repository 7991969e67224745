//! The bridge is killed, and its workers too: nothing that was recorded is lost.

use super::client::{Client, PAYMENTS, ack};
use crate::harness::{Answer, HOLD, Route, Store, World, eventually};
use activity_sim::TaskState;
use rstest::rstest;

/// A route whose tasks show what is on the disk.
const OTHER: &str = "other";

/// Waits until the disk has what the bridge has noted so far. A record carries it there, and a task is delivered when its
/// record is on the disk. The task stays unsettled.
async fn notes_are_written(world: &World, worker: &Client) {
    let mut others = worker.reading(OTHER).await;
    world.schedule(OTHER, 1);
    others.next().await;
}

/// Completes that task, after the kill.
async fn complete_other(worker: &Client) {
    let (task, _) = worker.reading(OTHER).await.next().await;
    worker.says(&task, Answer::of("completed", "")).await;
}

#[tokio::test]
async fn a_task_that_a_worker_has_when_the_bridge_is_killed_is_delivered_again() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let routes = || [Route::new(PAYMENTS).plain_acks(), Route::new(OTHER)];
    let mut bridge = world.bridge(&routes()).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let id = world.schedule(PAYMENTS, 1).remove(0);
    let (task, _) = worker.next().await;
    notes_are_written(&world, &worker).await;
    bridge.kill().await;
    let bridge = world.bridge(&routes()).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let (again, delivery) = worker.next().await;
    assert_eq!(again.id(), task.id());
    assert!(again.redelivered);
    assert_eq!(again.header("x-delivery-count").as_deref(), Some("1"));
    ack(&delivery).await;
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    complete_other(&worker).await;
    bridge.idle().await;
    world.assert_each_settled_once(2);
}

#[tokio::test]
async fn a_released_task_is_not_delivered_again_after_a_kill_and_its_reply_still_settles_it() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let route = || Route::new(PAYMENTS).with("ack = \"releases\"");
    let routes = || [route(), Route::new(OTHER)];
    let mut bridge = world.bridge(&routes()).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let id = world.schedule(PAYMENTS, 1).remove(0);
    let (task, delivery) = worker.next().await;
    ack(&delivery).await;
    // The next task shows that the acknowledgement was read.
    world.schedule(PAYMENTS, 1);
    let (other, _) = worker.next().await;
    notes_are_written(&world, &worker).await;
    bridge.kill().await;
    let bridge = world.bridge(&routes()).await;
    let mut worker = Client::consuming(&world.amqp_uri, 5).await;
    let (again, _) = worker.next().await;
    assert_eq!(again.id(), other.id(), "the one that was not acknowledged");
    worker
        .says(&task, Answer::of("completed", "late, but there"))
        .await;
    let ended = world.closed(&id).await;
    assert_eq!(ended.result.as_deref(), Some("late, but there"));
    worker.says(&again, Answer::of("completed", "")).await;
    complete_other(&worker).await;
    bridge.idle().await;
    world.assert_each_settled_once(3);
}

#[tokio::test]
async fn a_reply_to_a_task_that_was_released_before_a_kill_casts_no_doubt_on_an_acknowledgement() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let routes = || [Route::new(PAYMENTS).plain_acks(), Route::new(OTHER)];
    let mut bridge = world.bridge(&routes()).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    world.schedule(PAYMENTS, 1);
    let (begun, delivery) = worker.next().await;
    worker.says(&begun, Answer::of("started", "")).await;
    ack(&delivery).await;
    // The next task shows that the acknowledgement was read.
    let id = world.schedule(PAYMENTS, 1).remove(0);
    worker.next().await;
    notes_are_written(&world, &worker).await;
    bridge.kill().await;
    let bridge = world.bridge(&routes()).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let (again, delivery) = worker.next().await;
    assert_ne!(again.id(), begun.id());
    worker.says(&begun, Answer::of("completed", "")).await;
    ack(&delivery).await;
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    complete_other(&worker).await;
    bridge.idle().await;
    world.assert_each_settled_once(3);
}

#[tokio::test]
async fn a_repeated_reply_to_a_task_that_ended_before_the_start_casts_no_doubt_on_an_acknowledgement()
 {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let mut bridge = world.bridge(&[Route::new(PAYMENTS).plain_acks()]).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    world.schedule(PAYMENTS, 1);
    let (ended, _) = worker.next().await;
    worker.says(&ended, Answer::of("completed", "")).await;
    bridge.idle().await;
    bridge.terminate().await;
    let _bridge = world.bridge(&[Route::new(PAYMENTS).plain_acks()]).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let id = world.schedule(PAYMENTS, 1).remove(0);
    let (_, delivery) = worker.next().await;
    worker.says(&ended, Answer::of("completed", "")).await;
    ack(&delivery).await;
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    world.assert_each_settled_once(2);
}

#[rstest]
#[tokio::test]
async fn a_drain_gives_what_waits_to_the_next_process(
    #[values(Store::File, Store::Redis)] store: Store,
) {
    let world = World::of_the_endpoint(HOLD).await.kept_in(store);
    let settings = "[shutdown]\ngrace_secs = 5";
    let route = || Route::new(PAYMENTS).with("ack = \"releases\"");
    let mut bridge = world.bridge_with(settings, &[route()]).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let id = world.schedule(PAYMENTS, 1).remove(0);
    let (task, _) = worker.next().await;
    bridge.terminate().await;
    let _bridge = world.bridge_with(settings, &[route()]).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let (again, _) = worker.next().await;
    assert_eq!(again.id(), task.id());
    worker.says(&again, Answer::of("completed", "")).await;
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    eventually("no record", || async {
        world.has_no_records().await.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_task_that_was_acknowledged_just_before_the_end_of_a_drain_is_completed() {
    let world = World::of_the_endpoint(HOLD).await;
    // Flushing begins after 2.4 s and waits for 0.3 s. The acknowledgement waits for a reply until between the two.
    let settings = "[shutdown]\ngrace_secs = 3";
    let route = Route::new(PAYMENTS)
        .plain_acks()
        .with("ack_grace_ms = 2500");
    let mut bridge = world.bridge_with(settings, &[route]).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let id = world.schedule(PAYMENTS, 1).remove(0);
    let (_, delivery) = worker.next().await;
    ack(&delivery).await;
    // The answer shows that the acknowledgement was read.
    worker.waiting(PAYMENTS).await;
    bridge.terminate().await;
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn a_shutdown_closes_the_workers_connections_in_order_and_counts_no_failed_delivery() {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let settings = "[shutdown]\ngrace_secs = 2";
    let route = || Route::new(PAYMENTS).with("delivery_limit = 2");
    let mut bridge = world.bridge_with(settings, &[route()]).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    world.schedule(PAYMENTS, 1);
    let (task, _) = worker.next().await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(Client::consuming(&world.amqp_uri, 1).await);
    }
    let connections = [&worker].into_iter().chain(&others);
    let ends: Vec<_> = connections.map(Client::end).collect();
    bridge.terminate().await;
    for end in ends {
        let end = end.await;
        assert!(end.contains("shutting down"), "{end}");
    }
    for other in &mut others {
        assert!(other.was_given_nothing().await);
    }
    let _bridge = world.bridge_with(settings, &[route()]).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let (again, _) = worker.next().await;
    assert_eq!(again.id(), task.id());
    assert_eq!(again.header("x-delivery-count"), None);
}
