//! Heartbeats: a worker's signs of life reach AWS.

use crate::harness::{Answer, Scene, Source, StepFunctions, Swf, TEST_TIMEOUT};
use activity_sim::{FaultRule, Summary, TaskRecord, TaskState, TimeoutType, Timeouts};
use rstest::rstest;
use std::time::{Duration, Instant};

async fn until(
    scene: &Scene,
    id: &str,
    what: &str,
    condition: impl Fn(&TaskRecord) -> bool,
) -> TaskRecord {
    let found = scene
        .world
        .sim
        .wait_for_task(id, TEST_TIMEOUT, condition)
        .await;
    found.unwrap_or_else(|error| panic!("{what}: {error}"))
}

fn newest(task: &TaskRecord) -> Option<&str> {
    task.heartbeats
        .back()
        .and_then(|beat| beat.details.as_deref())
}

#[rstest]
#[tokio::test]
async fn a_heartbeat_reaches_aws_with_its_details_and_the_task_goes_on(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    let (id, task) = scene.task(scene.plain()).await;
    scene
        .inbox
        .reply(&task, Answer::of("heartbeat", "40 %"))
        .await;
    let record = until(&scene, &id, "a heartbeat", |task| task.heartbeat_count == 1).await;
    assert_eq!(
        (record.state, newest(&record)),
        (TaskState::Started, source.kept("40 %"))
    );
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    let record = scene.world.closed(&id).await;
    assert_eq!(
        (record.state, record.heartbeat_count),
        (TaskState::Completed, 1)
    );
    scene.all_replies_acknowledged().await;
}

#[rstest]
#[tokio::test]
async fn started_is_a_sign_of_life_with_or_without_details(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    for (body, details) in [("", None), ("on machine 7", source.kept("on machine 7"))] {
        let (id, task) = scene.task(scene.plain()).await;
        scene.inbox.reply(&task, Answer::of("started", body)).await;
        let record = until(&scene, &id, "a heartbeat", |task| task.heartbeat_count == 1).await;
        assert_eq!(
            (record.state, newest(&record)),
            (TaskState::Started, details)
        );
        scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
        assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
    }
    scene.all_replies_acknowledged().await;
}

/// While AWS takes none, so that what the broker is told does not depend on AWS.
#[rstest]
#[tokio::test]
async fn a_heartbeat_is_acknowledged_at_once_and_the_newest_details_are_sent_when_aws_is_back(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let scene = Scene::of(source, "").await;
    let action = source.heartbeat();
    let fault = FaultRule::error(action, 500, "InternalFailure");
    scene.world.sim.fault(fault);
    let (id, task) = scene.task(scene.plain()).await;
    for beat in ["older", "newest"] {
        scene
            .inbox
            .reply(&task, Answer::of("heartbeat", beat))
            .await;
        let refused = |s: &Summary| s.errors(action, "InternalFailure") > 0;
        scene.world.until("a refusal", refused).await;
    }
    scene.all_replies_acknowledged().await;
    let record = scene.world.sim.task(&id).expect("a record");
    assert_eq!(record.heartbeat_count, 0);
    scene.world.sim.clear_faults();
    // One with the older may be on its way when AWS is back.
    until(&scene, &id, "a heartbeat", |task| {
        task.heartbeat_count > 0 && newest(task) == source.kept("newest")
    })
    .await;
}

/// With a heartbeat timeout of 9 s AWS hears one every 3 s at most, whatever the worker does.
#[tokio::test]
async fn many_heartbeats_are_coalesced_to_the_newest() {
    let scene = Scene::with("heartbeat = { timeout_secs = 9 }").await;
    let (id, task) = scene.task(scene.plain()).await;
    let begun = Instant::now();
    for beat in 1..=50 {
        scene
            .inbox
            .reply(&task, Answer::of("heartbeat", &format!("beat {beat}")))
            .await;
    }
    let record = until(&scene, &id, "the last details", |task| {
        newest(task) == Some("beat 50")
    })
    .await;
    // One whose answer was late is repeated.
    let most = 2 + (begun.elapsed().as_secs_f64() / 3.0).ceil() as u64;
    assert!(
        most < 25,
        "the machine is too slow for this test to say anything: {most}"
    );
    assert!(
        record.heartbeat_count <= most,
        "{} heartbeats, expected at most {most}",
        record.heartbeat_count
    );
    // The bridge's own, from before the first, have none.
    let sent = record
        .heartbeats
        .iter()
        .filter_map(|b| b.details.as_deref());
    let order = sent.map(number);
    assert!(order.is_sorted(), "{:?}", record.heartbeats);
    scene.all_replies_acknowledged().await;
}

fn number(details: &str) -> u32 {
    let number = details.trim_start_matches("beat ").parse();
    number.unwrap_or_else(|_| panic!("not details that were sent: {details:?}"))
}

#[tokio::test]
async fn details_that_are_too_long_for_a_heartbeat_are_cut_with_a_mark() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    scene
        .inbox
        .reply(&task, Answer::of("heartbeat", &"ä".repeat(3_000)))
        .await;
    let record = until(&scene, &id, "a heartbeat", |task| task.heartbeat_count == 1).await;
    let details = newest(&record).expect("details");
    assert_eq!(details.chars().count(), 2_048);
    assert!(
        details.ends_with("… [cut, was 3000 characters]"),
        "{details}"
    );
}

/// A worker that beats in time keeps its task, though the bridge passes on only some of the beats.
#[tokio::test]
async fn a_task_whose_worker_beats_outlives_its_heartbeat_timeout() {
    let scene = Scene::of(StepFunctions, "heartbeat = { timeout_secs = 9 }").await;
    let timeouts = Timeouts {
        heartbeat: Some(Duration::from_secs(9)),
        ..Timeouts::default()
    };
    let (id, task) = scene.task(scene.timed(timeouts)).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(14) {
        let before = scene.world.sim.task(&id).expect("a record").heartbeat_count;
        scene
            .inbox
            .reply(&task, Answer::of("heartbeat", "alive"))
            .await;
        let heard = |task: &TaskRecord| task.heartbeat_count > before || !task.state.is_open();
        until(&scene, &id, "the newest heartbeat", heard).await;
    }
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
}

/// That reply was a sign of life, and the bridge speaks no longer for a worker that gives none.
#[rstest]
#[tokio::test]
async fn a_task_whose_only_result_was_too_long_times_out_by_its_heartbeat_and_frees_its_slot(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let settings = "oversize_result = \"park\"\nmax_in_flight = 1\npollers = { min = 1, max = 1 }\n\
                    heartbeat = { timeout_secs = 6 }";
    let scene = Scene::of(source, settings).await;
    let timeouts = Timeouts {
        heartbeat: Some(Duration::from_secs(6)),
        ..Timeouts::default()
    };
    let (id, task) = scene.task(scene.timed(timeouts)).await;
    let (result, _) = source.too_long();
    scene
        .inbox
        .reply(&task, Answer::done(&result).remove(0))
        .await;
    let record = scene.world.closed(&id).await;
    assert_eq!(
        (record.state, record.timeout_type),
        (TaskState::TimedOut, Some(TimeoutType::Heartbeat))
    );
    let next = scene.ended_by(Answer::done("shorter").remove(0)).await;
    assert_eq!(next.state, TaskState::Completed);
}
