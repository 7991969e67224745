//! Shutting down: a deploy loses no task.

use crate::harness::{
    Answer, BridgeProcess, File, Inbox, Memory, Redis, Route, Source, StepFunctions, Store, Swf,
    World, eventually,
};
use activity_sim::TaskState;
use rstest::rstest;

/// SIGTERM comes while polls are open; then a task is handed out into one of them.
#[rstest]
#[tokio::test]
async fn drain_loses_no_task_that_is_handed_to_an_open_poll(
    #[values((StepFunctions, File), (Swf, Redis))] kind: (Source, Store),
) {
    let (source, store) = kind;
    let world = World::with_hold(std::time::Duration::from_secs(8)).await;
    let world = world.of(source).kept_in(store);
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let route = Route::new("payments").with("pollers = { min = 4, max = 4 }");
    let mut bridge = world.bridge(&[route]).await;
    world.until("four open polls", |s| s.open_polls == 4).await;

    bridge.signal("TERM");
    bridge.logged("no new polls").await;
    let id = world.schedule("payments", 1).remove(0);
    let task = world.closed(&id).await;

    assert_eq!(task.state, TaskState::Completed);
    assert!(!task.abandoned_poll, "{task:?}");
    assert!(bridge.ended().await.success());
    assert_eq!(
        world.sim.summary().open_polls,
        0,
        "an open poll was cancelled"
    );
}

#[rstest]
#[tokio::test]
async fn drain_waits_for_the_replies_of_tasks_in_flight(
    #[values((StepFunctions, Memory), (Swf, Redis))] kind: (Source, Store),
) {
    let (source, store) = kind;
    let world = World::new().await.of(source).kept_in(store);
    let worker = world.worker("payments", |_| Vec::new()).await;
    let mut bridge = world.bridge(&[Route::new("payments")]).await;
    world.schedule("payments", 20);
    let tasks = worker.has_seen(20).await;

    bridge.signal("TERM");
    bridge.logged("phase=\"draining\"").await;
    assert_eq!(bridge.get("/readyz").await.0, 503);
    assert_eq!(bridge.get("/livez").await.0, 200);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    for task in &tasks {
        inbox
            .reply(task, Answer::done("late but in time").remove(0))
            .await;
    }

    assert!(bridge.ended().await.success());
    world.assert_each_completed_once(20);
}

/// With the memory store nobody could settle them afterwards. A route without any must not keep the rest from ending.
#[tokio::test]
async fn what_is_in_flight_when_the_grace_ends_is_failed_back_to_aws() {
    let world = World::new().await.of(StepFunctions);
    let worker = world.worker("payments", |_| Vec::new()).await;
    let settings = "[shutdown]\ngrace_secs = 20";
    let mut bridge = world
        .bridge_with(settings, &[Route::new("idle"), Route::new("payments")])
        .await;
    let ids = world.schedule("payments", 3);
    worker.has_seen(3).await;

    assert!(bridge.terminate().await.success());
    for id in ids {
        let task = world.sim.task(&id).expect("a record");
        assert_eq!(task.state, TaskState::Failed);
        let words = StepFunctions.words("ShutDown", &task);
        assert!(
            words.contains("shut down before the worker replied"),
            "{words}"
        );
    }
}

/// A terminal that is closed sends SIGHUP twice, and systemd may send one right after SIGTERM.
#[tokio::test]
async fn sighup_does_not_end_a_shutdown_however_often_it_comes() {
    let world = World::with_hold(std::time::Duration::from_secs(8)).await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let route = Route::new("payments").with("pollers = { min = 4, max = 4 }");
    let mut bridge = world.bridge(&[route]).await;
    world.until("four open polls", |s| s.open_polls == 4).await;

    bridge.signal("TERM");
    bridge.logged("no new polls").await;
    bridge.signal("HUP");
    bridge.logged("the configuration was not reloaded").await;
    bridge.signal("HUP");
    let id = world.schedule("payments", 1).remove(0);
    let task = world.closed(&id).await;

    assert_eq!(task.state, TaskState::Completed);
    assert!(!task.abandoned_poll, "{task:?}");
    assert!(bridge.ended().await.success());
}

/// Each of these ends a process that does not know it.
#[tokio::test]
async fn sigusr1_and_sigusr2_change_nothing_before_and_during_a_shutdown() {
    let world = World::new().await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let mut bridge = world.bridge(&[Route::new("payments")]).await;
    for name in ["USR1", "USR2"] {
        bridge.signal(name);
        let logged = format!("SIG{name}: it has no meaning here");
        bridge.logged(&logged).await;
    }
    let id = world.schedule("payments", 1).remove(0);
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    world.until("an open poll", |s| s.open_polls > 0).await;
    bridge.signal("TERM");
    bridge.logged("no new polls").await;
    bridge.signal("USR1");
    let id = world.schedule("payments", 1).remove(0);
    let task = world.closed(&id).await;
    assert_eq!(task.state, TaskState::Completed);
    assert!(!task.abandoned_poll, "{task:?}");
    assert!(bridge.ended().await.success());
}

/// The tests themselves may run where SIGQUIT is ignored, in the background of a script.
#[tokio::test]
async fn sigquit_drains_as_sigterm_does() {
    let world = World::with_hold(std::time::Duration::from_secs(8)).await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let config = world.write_config("", &[Route::new("payments")]);
    let starter = ["env", "--default-signal=QUIT"];
    let mut bridge = BridgeProcess::start_by(&starter, &config, &world.sim.url()).await;
    world.until("an open poll", |s| s.open_polls > 0).await;
    bridge.signal("QUIT");
    bridge.logged("SIGQUIT: shutting down").await;
    bridge.logged("no new polls").await;
    let id = world.schedule("payments", 1).remove(0);
    let task = world.closed(&id).await;
    assert_eq!(task.state, TaskState::Completed);
    assert!(!task.abandoned_poll, "{task:?}");
    assert!(bridge.ended().await.success());
}

#[tokio::test]
async fn a_sigquit_that_is_ignored_at_the_start_stays_ignored() {
    let world = World::new().await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let config = world.write_config("", &[Route::new("payments")]);
    let starter = ["env", "--ignore-signal=QUIT"];
    let mut bridge = BridgeProcess::start_by(&starter, &config, &world.sim.url()).await;
    bridge.signal("QUIT");
    let id = world.schedule("payments", 1).remove(0);
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    assert!(!bridge.log().contains("shutting down"), "{}", bridge.log());
    assert!(bridge.terminate().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let world = World::new().await;
    let worker = world.worker("payments", |_| Vec::new()).await;
    let mut bridge = world.bridge(&[Route::new("payments")]).await;
    world.schedule("payments", 1);
    worker.has_seen(1).await;
    bridge.signal("INT");
    bridge.logged("phase=\"draining\"").await;
    bridge.signal("INT");
    assert_eq!(bridge.ended().await.code(), Some(130));
    let log = bridge.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("a second signal: ending at once"), "{last}");
}

/// The reply queue goes with the process that drained; nothing of it is left behind in the broker.
#[tokio::test]
async fn a_drained_bridge_leaves_no_reply_queue_behind() {
    let world = World::new().await;
    let worker = world.worker("payments", |_| Answer::done("ok")).await;
    let mut bridge = world.bridge(&[Route::new("payments")]).await;
    world.schedule("payments", 1);
    let reply_to = worker.has_seen(1).await[0].reply_to();
    assert!(bridge.terminate().await.success());
    eventually("the reply queue being gone", || async {
        let inbox = Inbox::connect(&world.amqp_uri).await;
        let passive = lapin::options::QueueDeclareOptions::durable().passive();
        let found =
            inbox
                .channel()
                .queue_declare(reply_to.as_str().into(), passive, Default::default());
        found.await.is_err().then_some(())
    })
    .await;
}

/// A grace period that is shorter than a poll is held: the poll brings a task when what is left is being failed back.
#[tokio::test]
async fn a_task_that_an_open_poll_brings_while_flushing_is_failed_back_too() {
    let world = World::with_hold(std::time::Duration::from_secs(60))
        .await
        .of(Swf);
    let _worker = world.worker("payments", |_| Vec::new()).await;
    let settings = "[shutdown]\ngrace_secs = 30";
    let bridge = world.bridge_with(settings, &[Route::new("payments")]).await;
    world.until("two open polls", |s| s.open_polls == 2).await;
    bridge.signal("TERM");
    bridge.logged("phase=\"flushing\"").await;
    let id = world.schedule("payments", 1).remove(0);
    let task = world.closed(&id).await;
    assert_eq!(task.state, TaskState::Failed);
    let words = Swf.words("ShutDown", &task);
    assert!(
        words.contains("shut down before the worker replied"),
        "{words}"
    );
}
