//! Heartbeats on whose behalf: the bridge's while a task waits, then the worker's, until a dead worker is noticed.

mod told;

use crate::harness::{
    Answer, Inbox, Route, Scene, Source, StepFunctions, Swf, TEST_TIMEOUT, TaskMessage, World,
};
use activity_sim::{FaultRule, Schedule, TaskRecord, TaskState, TimeoutType, Timeouts};
use rstest::rstest;
use std::time::Duration;

const CONTROL: &str = "activity-bridge.control";
/// The heartbeat timeout of these tests. A machine that stands still for 6 s costs no task.
const T: Duration = Duration::from_secs(9);

/// Of the heartbeat alone.
fn timeouts() -> Timeouts {
    Timeouts {
        heartbeat: Some(T),
        ..Timeouts::default()
    }
}

/// The route's setting, with more on heartbeats.
fn setting(more: &str) -> String {
    format!("heartbeat = {{ timeout_secs = {}{more} }}", T.as_secs())
}

async fn scene(source: Source, heartbeat: &str) -> Scene {
    Scene::of(source, &setting(heartbeat)).await
}

async fn until(
    world: &World,
    id: &str,
    what: &str,
    is: impl Fn(&TaskRecord) -> bool,
) -> TaskRecord {
    let found = world.sim.wait_for_task(id, TEST_TIMEOUT, is).await;
    found.unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Waits until a started task has been kept open for so long, in the simulator's time.
async fn open_for(world: &World, id: &str, least: Duration) -> TaskRecord {
    let least = least.as_millis() as u64;
    until(world, id, "the task stays open", |task| {
        let started = task.started_ms.expect("it was started");
        !task.state.is_open()
            || task
                .heartbeats
                .back()
                .is_some_and(|beat| beat.at_ms - started >= least)
    })
    .await
}

/// Sends a sign of life, and waits until AWS has heard of the task.
async fn beats(scene: &Scene, id: &str, task: &TaskMessage, kind: &'static str) {
    let before = scene.world.sim.task(id).expect("a record").heartbeat_count;
    scene.inbox.reply(task, Answer::of(kind, "alive")).await;
    until(&scene.world, id, "heard", |task| {
        task.heartbeat_count > before || !task.state.is_open()
    })
    .await;
}

async fn done(inbox: &Inbox, task: &TaskMessage) {
    inbox.reply(task, Answer::done("ok").remove(0)).await;
}

#[tokio::test]
async fn a_task_that_waits_two_heartbeat_timeouts_in_the_queue_still_completes() {
    let world = World::new().await.of(Swf);
    let route = Route::new("payments").with("poll_without_consumers = true");
    let route = route.with(&setting(""));
    let _bridge = world.bridge(&[route]).await;
    let schedule = Schedule {
        timeouts: timeouts(),
        ..world.plain("payments")
    };
    let id = world.sim.schedule(schedule).remove(0);
    until(&world, &id, "polled", |task| task.started_ms.is_some()).await;
    let record = open_for(&world, &id, 2 * T).await;
    assert_eq!(record.state, TaskState::Started, "{record:?}");

    let inbox = Inbox::connect(&world.amqp_uri).await;
    let task = inbox.next("payments").await;
    done(&inbox, &task).await;
    let record = world.closed(&id).await;
    assert_eq!(record.state, TaskState::Completed);
    // No more often than two thirds of a third of the timeout, but for some whose answers were late.
    let lived = record.closed_ms.expect("closed") - record.started_ms.expect("started");
    let most = 7 + lived / (T.as_millis() as u64 * 2 / 9);
    assert!(record.heartbeat_count <= most, "{}", record.heartbeat_count);
}

#[tokio::test]
async fn a_plain_worker_that_sends_no_heartbeat_is_waited_for() {
    let scene = scene(StepFunctions, "").await;
    let (id, task) = scene.task(scene.timed(timeouts())).await;
    let record = open_for(&scene.world, &id, 2 * T).await;
    assert_eq!(record.state, TaskState::Started, "{record:?}");
    done(&scene.inbox, &task).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn a_worker_that_goes_quiet_is_left_to_time_out_and_told_gone() {
    let scene = scene(StepFunctions, ", by = 'both'").await;
    let (id, task) = scene.task(scene.timed(timeouts())).await;
    let own = scene.inbox.bind(CONTROL, &task.id()).await;
    scene.inbox.reply(&task, Answer::of("started", "")).await;
    let record = scene.world.closed(&id).await;
    assert_eq!(record.state, TaskState::TimedOut);
    assert_eq!(record.timeout_type, Some(TimeoutType::Heartbeat));

    let told = scene.inbox.next(&own).await;
    assert_eq!(told.header("reason").as_deref(), Some("gone"));
    scene.bridge.idle().await;
    let asked = scene.world.sim.task(&id).expect("a record").late_calls;
    // Its late reply is acknowledged, counted, and AWS is not troubled with it.
    done(&scene.inbox, &task).await;
    scene.all_replies_acknowledged().await;
    assert_eq!(scene.bridge.metric("late_replies_total").await, 1.0);
    assert_eq!(scene.bridge.metric("parked_replies_total").await, 0.0);
    let record = scene.world.sim.task(&id).expect("a record");
    assert_eq!(
        (record.settle_calls, record.late_calls),
        (0, asked),
        "only the question was late"
    );
    assert!(scene.inbox.get(&own).await.is_none(), "told twice");
}

/// The worker's connection breaks in the middle of its work, and nobody takes the task again.
#[tokio::test]
async fn a_worker_that_dies_in_the_middle_is_noticed_within_one_heartbeat_timeout() {
    let scene = scene(Swf, "").await;
    let (id, task) = scene.task(scene.timed(timeouts())).await;
    for _ in 0..2 {
        beats(&scene, &id, &task, "heartbeat").await;
    }
    let Scene {
        world,
        worker,
        inbox,
        bridge,
    } = scene;
    drop((worker, inbox));
    let died = world.sim.task(&id).expect("a record");
    let record = world.closed(&id).await;
    assert_eq!(record.timeout_type, Some(TimeoutType::Heartbeat));
    // The worker's last may have waited to be passed on.
    assert!(
        record.heartbeat_count <= died.heartbeat_count + 1,
        "{record:?}"
    );
    bridge.idle().await;
}

#[tokio::test]
async fn by_worker_the_bridge_never_speaks_for_a_task() {
    let scene = scene(Swf, ", by = 'worker'").await;
    let (id, task) = scene.task(scene.timed(timeouts())).await;
    let own = scene.inbox.bind(CONTROL, &task.id()).await;
    let record = scene.world.closed(&id).await;
    assert_eq!(record.timeout_type, Some(TimeoutType::Heartbeat));
    assert_eq!(record.heartbeat_count, 0);
    let told = scene.inbox.next(&own).await;
    assert_eq!(told.header("reason").as_deref(), Some("gone"));
    scene.bridge.idle().await;
}

#[tokio::test]
async fn by_bridge_a_worker_that_has_begun_may_be_quiet() {
    let scene = scene(Swf, ", by = 'bridge'").await;
    let (id, task) = scene.task(scene.timed(timeouts())).await;
    scene.inbox.reply(&task, Answer::of("started", "")).await;
    scene
        .inbox
        .reply(&task, Answer::of("heartbeat", "half"))
        .await;
    let record = open_for(&scene.world, &id, 2 * T).await;
    let newest = record.heartbeats.back().expect("a heartbeat");
    assert_eq!(
        (record.state, newest.details.as_deref()),
        (TaskState::Started, Swf.kept("half")),
        "its details are kept"
    );
    done(&scene.inbox, &task).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
}

#[rstest]
#[tokio::test]
async fn a_task_that_nobody_has_started_in_time_is_failed_and_its_message_is_of_no_effect(
    #[values(Swf, StepFunctions)] source: Source,
) {
    // None of the bridge's own heartbeats is on its way when the task is failed.
    let settings = "heartbeat = { timeout_secs = 60, max_wait_secs = 3 }";
    let scene = Scene::of(source, settings).await;
    let (id, task) = scene.task(scene.plain()).await;
    let record = scene.world.closed(&id).await;
    assert_eq!(
        (record.state, source.words("NotStarted", &record)),
        (TaskState::Failed, "no worker started it within 3 s")
    );
    let waited = record.closed_ms.expect("closed") - record.started_ms.expect("started");
    assert!(waited >= 3_000, "{waited} ms");
    scene.bridge.idle().await;
    let own = scene.inbox.own_queue().await;
    let started = Answer::of("started", "").asking(&own);
    scene.inbox.reply(&task, started).await;
    let answer = scene.inbox.next(&own).await;
    assert_eq!(answer.header("status").as_deref(), Some("gone"));
    done(&scene.inbox, &task).await;
    scene.all_replies_acknowledged().await;
    let record = scene.world.sim.task(&id).expect("a record");
    assert_eq!((record.settle_calls, record.late_calls), (1, 0));
}

/// AWS takes longer to answer one of them than is left.
#[tokio::test]
async fn one_heartbeat_that_hangs_costs_no_task() {
    let scene = Scene::of(StepFunctions, "heartbeat = { timeout_secs = 24 }").await;
    let timeouts = Timeouts {
        heartbeat: Some(Duration::from_secs(24)),
        ..Timeouts::default()
    };
    let schedule = scene.timed(timeouts);
    let hang = FaultRule::latency(StepFunctions.heartbeat(), Duration::from_secs(30));
    scene.world.sim.fault(hang.times(1));
    let (id, task) = scene.task(schedule).await;
    let record = until(&scene.world, &id, "another heartbeat", |task| {
        task.heartbeat_count >= 1 || !task.state.is_open()
    })
    .await;
    assert_eq!(record.state, TaskState::Started, "{record:?}");
    done(&scene.inbox, &task).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
}

#[rstest]
#[tokio::test]
async fn a_plain_reply_costs_no_heartbeat_beside_it(#[values(Swf, StepFunctions)] source: Source) {
    let settings = "heartbeat = { timeout_secs = 60, by = 'worker' }";
    let scene = Scene::of(source, settings).await;
    for _ in 0..10 {
        let (id, task) = scene.task(scene.plain()).await;
        done(&scene.inbox, &task).await;
        let record = scene.world.closed(&id).await;
        assert_eq!(
            (record.state, record.heartbeat_count),
            (TaskState::Completed, 0)
        );
    }
    assert_eq!(
        scene
            .world
            .sim
            .rates(source.heartbeat())
            .per_second
            .iter()
            .sum::<u64>(),
        0
    );
}
