//! Signs of life from a worker to AWS, and AWS's answers to the worker.

use crate::harness::{Answer, PATIENCE, Scene};
use activity_sim::{HeartbeatRecord, Schedule, TaskRecord, TaskState, Timeouts};
use std::time::{Duration, Instant};

const CONTROL: &str = "activity-bridge.control";

async fn until(
    scene: &Scene,
    id: &str,
    what: &str,
    condition: impl Fn(&TaskRecord) -> bool,
) -> TaskRecord {
    let found = scene.world.sim.wait_for_task(id, PATIENCE, condition).await;
    found.unwrap_or_else(|error| panic!("{what}: {error}"))
}

fn newest(task: &TaskRecord) -> Option<&str> {
    task.heartbeats
        .back()
        .and_then(|beat| beat.details.as_deref())
}

#[tokio::test]
async fn a_heartbeat_reaches_aws_with_its_details_and_the_task_goes_on() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(Scene::plain()).await;
    scene
        .inbox
        .reply(&task, Answer::of("heartbeat", "40 %"))
        .await;
    let record = until(&scene, &id, "a heartbeat", |task| task.heartbeat_count == 1).await;
    assert_eq!(
        (record.state, newest(&record)),
        (TaskState::Started, Some("40 %"))
    );
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    let record = scene.world.closed(&id).await;
    assert_eq!(
        (record.state, record.heartbeat_count),
        (TaskState::Completed, 1)
    );
    scene.all_replies_acknowledged().await;
}

#[tokio::test]
async fn started_is_a_sign_of_life_without_details() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(Scene::plain()).await;
    scene.inbox.reply(&task, Answer::of("started", "")).await;
    let record = until(&scene, &id, "a heartbeat", |task| task.heartbeat_count == 1).await;
    assert_eq!((record.state, newest(&record)), (TaskState::Started, None));
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
    scene.all_replies_acknowledged().await;
}

/// With a heartbeat timeout of 9 s AWS hears one every 3 s at most, whatever the worker does.
#[tokio::test]
async fn many_heartbeats_are_coalesced_to_the_newest() {
    let scene = Scene::with("heartbeat = { timeout_secs = 9 }").await;
    let (id, task) = scene.task(Scene::plain()).await;
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
    let most = 1 + (begun.elapsed().as_secs_f64() / 3.0).ceil() as u64;
    assert!(
        most < 25,
        "the machine is too slow for this test to say anything: {most}"
    );
    assert!(
        record.heartbeat_count <= most,
        "{} heartbeats, expected at most {most}",
        record.heartbeat_count
    );
    let order = record.heartbeats.iter().map(number);
    assert!(order.is_sorted(), "{:?}", record.heartbeats);
    scene.all_replies_acknowledged().await;
}

fn number(beat: &HeartbeatRecord) -> u32 {
    let details = beat.details.as_deref().unwrap_or_default();
    let number = details.trim_start_matches("beat ").parse();
    number.unwrap_or_else(|_| panic!("not details that were sent: {details:?}"))
}

#[tokio::test]
async fn details_that_are_too_long_for_a_heartbeat_are_cut_with_a_mark() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(Scene::plain()).await;
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
    let scene = Scene::with("heartbeat = { timeout_secs = 2 }").await;
    let timeouts = Timeouts {
        heartbeat: Some(Duration::from_secs(2)),
        ..Timeouts::default()
    };
    let (id, task) = scene
        .task(Schedule {
            timeouts,
            ..Scene::plain()
        })
        .await;
    let begun = Instant::now();
    let mut beats = 0;
    while begun.elapsed() < Duration::from_secs(5) {
        beats += 1;
        scene
            .inbox
            .reply(&task, Answer::of("heartbeat", &beats.to_string()))
            .await;
        let heard = |task: &TaskRecord| {
            newest(task) == Some(beats.to_string().as_str()) || !task.state.is_open()
        };
        until(&scene, &id, "the newest details", heard).await;
    }
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn a_cancel_is_announced_once_under_the_id_of_the_task() {
    let scene = Scene::with("heartbeat = { timeout_secs = 1 }").await;
    let (id, task) = scene.task(Scene::plain()).await;
    let (_, bystander) = scene.task(Scene::plain()).await;
    let own = scene.inbox.bind(CONTROL, &task.id()).await;
    let others = scene.inbox.bind(CONTROL, &bystander.id()).await;
    scene.inbox.reply(&task, Answer::of("heartbeat", "0")).await;
    until(&scene, &id, "the first heartbeat", |task| {
        task.heartbeat_count == 1
    })
    .await;
    assert_eq!(scene.world.sim.cancel([&id]).requested.len(), 1);

    scene.inbox.reply(&task, Answer::of("heartbeat", "1")).await;
    let cancel = scene.inbox.next(&own).await;
    let kind = cancel.properties.kind().as_ref().map(ToString::to_string);
    assert_eq!(kind.as_deref(), Some("cancel"));
    assert_eq!(cancel.header("reason").as_deref(), Some("cancel-requested"));
    assert_eq!(
        (cancel.id(), cancel.body.as_str()),
        (task.id(), "cancel-requested")
    );

    // Each of these is answered with the request again, and the next is sent after whatever the last led to.
    for beat in 2..=4 {
        let details = beat.to_string();
        scene
            .inbox
            .reply(&task, Answer::of("heartbeat", &details))
            .await;
        until(&scene, &id, "the next heartbeat", |task| {
            newest(task) == Some(&details)
        })
        .await;
    }
    assert!(scene.inbox.get(&own).await.is_none(), "announced twice");
    assert!(
        scene.inbox.get(&others).await.is_none(),
        "announced to another task"
    );
    scene
        .inbox
        .reply(&task, Answer::of("canceled", "stopped"))
        .await;
    let record = scene.world.closed(&id).await;
    assert_eq!(
        (record.state, record.details.as_deref()),
        (TaskState::Canceled, Some("stopped"))
    );
}

#[tokio::test]
async fn a_worker_on_a_task_that_is_gone_is_told_and_the_slot_is_freed() {
    let scene = Scene::with("max_in_flight = 1\npollers = { min = 1, max = 1 }").await;
    let timeouts = Timeouts {
        start_to_close: Some(Duration::from_millis(500)),
        ..Timeouts::default()
    };
    let (id, task) = scene
        .task(Schedule {
            timeouts,
            ..Scene::plain()
        })
        .await;
    let own = scene.inbox.bind(CONTROL, &task.id()).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::TimedOut);
    assert_eq!(
        scene.world.sim.summary().open_polls,
        0,
        "the one slot is taken"
    );

    scene
        .inbox
        .reply(&task, Answer::of("heartbeat", "still here"))
        .await;
    let cancel = scene.inbox.next(&own).await;
    let kind = cancel.properties.kind().as_ref().map(ToString::to_string);
    assert_eq!(kind.as_deref(), Some("cancel"));
    assert_eq!(cancel.header("reason").as_deref(), Some("gone"));
    assert_eq!(cancel.id(), task.id());

    // The worker's last word is late, and the next task finds the slot.
    scene
        .inbox
        .reply(&task, Answer::done("too late").remove(0))
        .await;
    let next = scene.ended_by(Answer::done("in time").remove(0)).await;
    assert_eq!(next.state, TaskState::Completed);
    let record = scene.world.sim.task(&id).expect("a record");
    assert_eq!(
        (record.settle_calls, record.late_calls),
        (0, 1),
        "only the heartbeat was late"
    );
    assert_eq!(scene.bridge.metric("late_replies_total").await, 1.0);
    scene.all_replies_acknowledged().await;
    assert!(scene.inbox.get(&own).await.is_none(), "told twice");
}

/// What waits to be passed on when the task ends is not sent behind its end.
#[tokio::test]
async fn the_end_of_a_task_overtakes_a_heartbeat_that_waits() {
    let scene = Scene::with("heartbeat = { timeout_secs = 9 }").await;
    let (id, task) = scene.task(Scene::plain()).await;
    scene
        .inbox
        .reply(&task, Answer::of("heartbeat", "first"))
        .await;
    until(&scene, &id, "a heartbeat", |task| task.heartbeat_count == 1).await;
    scene
        .inbox
        .reply(&task, Answer::of("heartbeat", "waits for 3 s"))
        .await;
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    let record = scene.world.closed(&id).await;
    assert_eq!(
        (record.state, record.heartbeat_count),
        (TaskState::Completed, 1)
    );
    scene.bridge.idle().await;
    // Another task's third beat goes out two intervals after its first, when the first task's second beat would have
    // gone out long ago.
    let (other, message) = scene.task(Scene::plain()).await;
    for beat in ["a", "b", "c"] {
        scene
            .inbox
            .reply(&message, Answer::of("heartbeat", beat))
            .await;
        until(&scene, &other, "a heartbeat", |task| {
            newest(task) == Some(beat)
        })
        .await;
    }
    let record = scene.world.sim.task(&id).expect("a record");
    assert_eq!(
        (record.heartbeat_count, record.late_calls),
        (1, 0),
        "{record:?}"
    );
}
