//! The table of settlements, line by line.

use super::client::{Client, PAYMENTS, Place, ack, nack};
use crate::harness::{Answer, Source, StepFunctions, Swf};
use activity_sim::TaskState;
use lapin::options::BasicConsumeOptions;
use rstest::rstest;
use std::time::Duration;

/// Longer than the grace of an acknowledgement.
const A_WHILE: Duration = Duration::from_secs(1);

#[rstest]
#[tokio::test]
async fn a_bare_acknowledgement_completes_its_task(#[values(Swf, StepFunctions)] source: Source) {
    let place = Place::with(source, "").await;
    let mut worker = place.consumer(1).await;
    let id = place.world.schedule(PAYMENTS, 1).remove(0);
    let (_, delivery) = worker.next().await;
    assert!(place.world.sim.summary().completed == 0);
    ack(&delivery).await;
    let task = place.world.closed(&id).await;
    assert_eq!(task.state, TaskState::Completed);
    let nothing = match source {
        Swf => None,
        StepFunctions => Some("null".to_owned()),
    };
    assert_eq!(task.result.filter(|result| !result.is_empty()), nothing);
    place.world.assert_each_completed_once(1);
}

#[tokio::test]
async fn ack_result_is_the_result_of_a_bare_acknowledgement() {
    let place = Place::with(StepFunctions, "ack_result = '{\"ok\":true}'").await;
    let mut worker = place.consumer(1).await;
    let id = place.world.schedule(PAYMENTS, 1).remove(0);
    let (_, delivery) = worker.next().await;
    ack(&delivery).await;
    let task = place.world.closed(&id).await;
    assert_eq!(task.result.as_deref(), Some("{\"ok\":true}"));
}

#[rstest]
#[tokio::test]
async fn a_reply_settles_and_its_acknowledgement_before_or_after_means_nothing(
    #[values(Swf, StepFunctions)] source: Source,
    #[values(true, false)] ack_first: bool,
) {
    let place = Place::with(source, "ack_grace_ms = 5000").await;
    let mut worker = place.consumer(1).await;
    let id = place.world.schedule(PAYMENTS, 1).remove(0);
    let (task, delivery) = worker.next().await;
    if ack_first {
        ack(&delivery).await;
    }
    worker.says(&task, Answer::done("7").remove(0)).await;
    // The confirm means that AWS has it.
    assert_eq!(place.world.sim.summary().completed, 1);
    if !ack_first {
        ack(&delivery).await;
    }
    let ended = place.world.closed(&id).await;
    assert_eq!(ended.result, Some(source.result("7")));
    place.world.assert_each_completed_once(1);
}

#[tokio::test]
async fn who_has_spoken_ends_by_speaking_and_an_acknowledgement_releases() {
    let place = Place::with(Swf, "").await;
    let mut worker = place.consumer(1).await;
    let id = place.world.schedule(PAYMENTS, 1).remove(0);
    let (task, delivery) = worker.next().await;
    worker.says(&task, Answer::of("heartbeat", "half")).await;
    ack(&delivery).await;
    place.bridge.logged("without a final reply").await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(place.world.sim.summary().completed, 0);
    worker.says(&task, Answer::of("completed", "done")).await;
    let ended = place.world.closed(&id).await;
    assert_eq!(ended.result.as_deref(), Some("done"));
}

#[tokio::test]
async fn with_releases_an_acknowledgement_settles_nothing() {
    let place = Place::with(Swf, "ack = \"releases\"").await;
    let mut worker = place.consumer(1).await;
    let id = place.world.schedule(PAYMENTS, 2).remove(0);
    let (task, delivery) = worker.next().await;
    ack(&delivery).await;
    // The credit is free again.
    let (other, _) = worker.next().await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(place.world.sim.summary().completed, 0);
    for task in [&task, &other] {
        worker.says(task, Answer::of("completed", "done")).await;
    }
    assert_eq!(place.world.closed(&id).await.state, TaskState::Completed);
    place.world.assert_each_completed_once(2);
}

#[rstest]
#[tokio::test]
async fn a_rejected_delivery_fails_its_task(#[values(Swf, StepFunctions)] source: Source) {
    let place = Place::with(source, "").await;
    let mut worker = place.consumer(1).await;
    let id = place.world.schedule(PAYMENTS, 1).remove(0);
    let (_, delivery) = worker.next().await;
    nack(&delivery, false).await;
    let task = place.world.closed(&id).await;
    assert_eq!(task.state, TaskState::Failed);
    assert!(
        format!("{task:?}").contains("rejected by a worker"),
        "{task:?}"
    );
}

#[tokio::test]
async fn a_requeued_delivery_goes_to_another_consumer_first_with_its_count() {
    let place = Place::with(Swf, "").await;
    let mut first = place.consumer(1).await;
    place.world.schedule(PAYMENTS, 1);
    let (task, delivery) = first.next().await;
    assert!(!task.redelivered);
    let mut second = place.consumer(1).await;
    nack(&delivery, true).await;
    let (again, delivery) = second.next().await;
    assert_eq!(again.id(), task.id());
    assert!(again.redelivered);
    assert_eq!(again.header("x-delivery-count").as_deref(), Some("1"));
    ack(&delivery).await;
    place
        .world
        .until("the completion", |all| all.completed == 1)
        .await;
}

#[tokio::test]
async fn a_task_that_is_requeued_past_its_limit_fails() {
    let place = Place::with(Swf, "delivery_limit = 2").await;
    let mut worker = place.consumer(1).await;
    let id = place.world.schedule(PAYMENTS, 1).remove(0);
    for _ in 0..3 {
        let (_, delivery) = worker.next().await;
        nack(&delivery, true).await;
    }
    let task = place.world.closed(&id).await;
    assert_eq!(task.state, TaskState::Failed);
    assert!(format!("{task:?}").contains("delivery limit"), "{task:?}");
}

#[tokio::test]
async fn a_worker_that_is_lost_gives_its_task_to_another_at_once() {
    let place = Place::with(Swf, "").await;
    let mut first = place.consumer(1).await;
    let id = place.world.schedule(PAYMENTS, 1).remove(0);
    let (task, _) = first.next().await;
    let mut second = place.consumer(1).await;
    let Client { connection, .. } = first;
    let begun = std::time::Instant::now();
    drop(connection.close(200, "".into()).await);
    let (again, delivery) = second.next().await;
    assert!(begun.elapsed() < A_WHILE, "{:?}", begun.elapsed());
    assert_eq!(again.id(), task.id());
    assert!(again.redelivered);
    ack(&delivery).await;
    assert_eq!(place.world.closed(&id).await.state, TaskState::Completed);
    place.world.assert_each_completed_once(1);
}

#[tokio::test]
async fn a_reply_with_an_unknown_id_makes_the_acknowledgements_of_its_connection_doubtful() {
    let place = Place::with(Swf, "").await;
    let mut worker = place.consumer(2).await;
    let id = place.world.schedule(PAYMENTS, 1).remove(0);
    let (task, delivery) = worker.next().await;
    let stray = Answer {
        correlation_id: Some("0123456789abcdef0123456789abcdef".to_owned()),
        ..Answer::of("completed", "of another task")
    };
    worker.says(&task, stray).await;
    ack(&delivery).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(place.world.sim.summary().completed, 0);
    worker.says(&task, Answer::of("completed", "done")).await;
    assert_eq!(place.world.closed(&id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn a_worker_that_acknowledges_before_it_has_finished_is_found_out() {
    let place = Place::with(Swf, "").await;
    let mut worker = place.consumer(1).await;
    place.world.schedule(PAYMENTS, 1);
    let (task, delivery) = worker.next().await;
    ack(&delivery).await;
    place
        .world
        .until("the completion", |all| all.completed == 1)
        .await;
    worker.says(&task, Answer::of("completed", "late")).await;
    place.bridge.logged("before it finished it").await;
    // From here on an acknowledgement settles nothing.
    let id = place.world.schedule(PAYMENTS, 1).remove(0);
    let (task, delivery) = worker.next().await;
    ack(&delivery).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(place.world.sim.summary().completed, 1);
    worker.says(&task, Answer::of("completed", "done")).await;
    let ended = place.world.closed(&id).await;
    assert_eq!(ended.result.as_deref(), Some("done"));
}

#[tokio::test]
async fn a_consumer_without_acknowledgements_is_refused_and_told_what_to_set() {
    let place = Place::with(Swf, "").await;
    let worker = place.consumer(1).await;
    let channel = worker.connection.create_channel().await.expect("a channel");
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let refused = channel
        .basic_consume(PAYMENTS.into(), "".into(), options, Default::default())
        .await;
    let refused = refused.expect_err("it is refused").to_string();
    assert!(refused.contains("ack = \"releases\""), "{refused}");
}

#[tokio::test]
async fn with_a_prefetch_of_one_a_busy_worker_gets_no_second_task_from_aws() {
    let place = Place::with(Swf, "").await;
    let mut worker = place.consumer(1).await;
    place.world.schedule(PAYMENTS, 5);
    let (_, first) = worker.next().await;
    assert!(worker.gets_nothing(A_WHILE).await);
    assert_eq!(place.world.sim.summary().polled, 1);
    ack(&first).await;
    let (_, second) = worker.next().await;
    ack(&second).await;
    for _ in 0..3 {
        let (_, next) = worker.next().await;
        ack(&next).await;
    }
    place
        .world
        .until("all completions", |all| all.completed == 5)
        .await;
}

#[tokio::test]
async fn a_worker_that_hangs_loses_its_task_after_ack_timeout_secs() {
    let place = Place::with(Swf, "ack_timeout_secs = 1").await;
    let mut hanging = place.consumer(1).await;
    let id = place.world.schedule(PAYMENTS, 1).remove(0);
    let (task, late) = hanging.next().await;
    let mut other = place.consumer(1).await;
    let (again, delivery) = other.next().await;
    assert_eq!(again.id(), task.id());
    ack(&delivery).await;
    assert_eq!(place.world.closed(&id).await.state, TaskState::Completed);
    // What the first says now is no error.
    ack(&late).await;
    place.world.schedule(PAYMENTS, 1);
    let (_, next) = hanging.next().await;
    ack(&next).await;
    place
        .world
        .until("both completions", |all| all.completed == 2)
        .await;
}
