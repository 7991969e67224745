//! Recovery: how a process adopts the tasks that it finds in the store.

use super::{HEARTBEAT, Place, done, schedule};
use crate::harness::{
    Answer, File, HOLD, Inbox, Proxy, Redis, Store, TEST_TIMEOUT, World, command, eventually,
    unix_ms,
};
use activity_sim::{TaskRecord, TaskState, TimeoutType};
use rstest::rstest;
use std::time::Duration;

async fn all_timed_out(place: &Place, count: u64) {
    let timed_out = |s: &activity_sim::Summary| s.timed_out == count;
    place.world.until("AWS times them out", timed_out).await;
}

/// Their next heartbeat would be due a third of the timeout after the last one, less a third of that at most. This is later
/// than this test waits.
#[rstest]
#[tokio::test]
async fn tasks_that_were_published_get_their_heartbeats_back_at_once(
    #[values(File, Redis)] store: Store,
) {
    let timeout = Duration::from_secs(1_200);
    assert!(timeout / 3 * 2 / 3 > TEST_TIMEOUT);
    let place = Place::new(store, timeout).await;
    let mut killed = place.bridge().await;
    let tasks = place.tasks(20).await;
    killed.kill().await;
    let down = unix_ms();
    let bridge = place.bridge().await;
    let beaten = |task: &TaskRecord| {
        task.heartbeats
            .back()
            .is_some_and(|beat| beat.at_ms >= down)
    };
    eventually("a heartbeat for each", || async {
        place.world.sim.tasks().iter().all(beaten).then_some(())
    })
    .await;
    for task in &tasks {
        place.inbox.reply(task, done(task)).await;
    }
    place.world.until("all", |s| s.completed == 20).await;
    place.is_settled(&bridge).await;
}

#[rstest]
#[tokio::test]
async fn a_task_that_timed_out_while_the_bridge_was_down_is_found_gone(
    #[values(File, Redis)] store: Store,
) {
    let place = Place::with(store, HEARTBEAT, "max_in_flight = 1").await;
    let mut killed = place.bridge().await;
    let task = place.tasks(1).await.remove(0);
    let own = place
        .inbox
        .bind("activity-bridge.control", &task.id())
        .await;
    killed.kill().await;
    let id = place.world.sim.tasks().remove(0).activity_id;
    place.world.sim.time_out([id.as_str()]);

    let mut bridge = place.bridge().await;
    let told = place.inbox.next(&own).await;
    assert_eq!(told.header("reason").as_deref(), Some("gone"));
    bridge.idle().await;
    let record = place.world.sim.tasks().remove(0);
    assert_eq!(
        (record.settle_calls, record.late_calls),
        (0, 1),
        "asked once"
    );
    // Its slot is free for the next one.
    schedule(&place.world, 1..2, HEARTBEAT);
    let next = eventually("the next one's message", || async {
        // The first one's may come again: its confirm need not have been noted.
        let mut seen = place.worker.seen().into_iter();
        seen.find(|seen| seen.id() != task.id())
    })
    .await;
    place.inbox.reply(&next, done(&next)).await;
    place
        .world
        .until("the next one", |s| s.completed == 1)
        .await;
    place.is_settled(&bridge).await;
    // And nothing of it is left in the store.
    assert!(bridge.terminate().await.success());
    let third = place.bridge().await;
    assert_eq!(third.metric("tasks_in_flight").await, 0.0);
    assert!(place.inbox.get(&own).await.is_none(), "told twice");
}

/// The broker has the message, and its confirm never came.
#[rstest]
#[tokio::test]
async fn a_task_whose_confirm_was_not_noted_is_published_again_as_it_was(
    #[values(File, Redis)] store: Store,
) {
    let world = World::new().await;
    let worker = world.worker(super::PAYMENTS, |_| Vec::new()).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let proxy = Proxy::start(&world.amqp_uri).await;
    let behind = World::at(proxy.uri.clone(), HOLD).await.kept_in(store);
    let routes = [super::route(HEARTBEAT, "")];
    let mut killed = behind.bridge(&routes).await;
    killed.route_is(super::PAYMENTS, "polling").await;
    proxy.hold(0, true);
    schedule(&behind, 0..1, HEARTBEAT);
    let first = worker.has_seen(1).await.remove(0);
    killed.kill().await;

    let bridge = behind.bridge(&routes).await;
    let again = worker.has_seen(2).await.remove(1);
    assert!(!again.redelivered, "it was not published");
    assert_eq!(
        (&again.body, &again.properties),
        (&first.body, &first.properties)
    );
    for task in [&first, &again] {
        inbox.reply(task, done(task)).await;
    }
    behind.until("completed", |s| s.completed == 1).await;
    bridge.idle().await;
    super::assert_none_parked(&inbox).await;
}

/// The worker died with the bridge: the bridge asks for the task once, and does not speak for it any more.
#[rstest]
#[tokio::test]
async fn that_a_worker_had_begun_is_remembered(#[values(File, Redis)] store: Store) {
    let heartbeat = Duration::from_secs(15);
    let place = Place::new(store, heartbeat).await;
    let mut first = place
        .world
        .bridge_with("[shutdown]\ngrace_secs = 1", &[place.route()])
        .await;
    let task = place.tasks(1).await.remove(0);
    place.inbox.reply(&task, Answer::of("started", "")).await;
    eventually("a worker being known to work on it", || async {
        let (_, listing) = first.get("/tasks").await;
        listing.contains("\"working\"").then_some(())
    })
    .await;
    // A clean end, because what a kill costs of such a note is not to be told beforehand.
    assert!(first.terminate().await.success());
    let before = place.world.sim.tasks().remove(0).heartbeat_count;

    let bridge = place.bridge().await;
    all_timed_out(&place, 1).await;
    let record = place.world.sim.tasks().remove(0);
    assert_eq!(record.timeout_type, Some(TimeoutType::Heartbeat));
    assert!(record.heartbeat_count <= before + 1, "{record:?}");
    bridge.idle().await;
}

/// Recovery needs the broker, because what was not confirmed is to be published again.
#[rstest]
#[tokio::test]
async fn readyz_says_recovering_until_recovery_is_done(#[values(File, Redis)] store: Store) {
    let world = World::new().await;
    let worker = world.worker(super::PAYMENTS, |_| Vec::new()).await;
    let proxy = Proxy::start(&world.amqp_uri).await;
    let behind = World::at(proxy.uri.clone(), HOLD).await.kept_in(store);
    let routes = [super::route(HEARTBEAT, "")];
    let settings = "[shutdown]\ngrace_secs = 4";
    let mut first = behind.bridge_with(settings, &routes).await;
    first.route_is(super::PAYMENTS, "polling").await;
    proxy.hold(0, true);
    schedule(&behind, 0..3, HEARTBEAT);
    worker.has_seen(3).await;
    // A clean end, so that with Redis the tasks are to be had at once.
    assert!(first.terminate().await.success());

    proxy.cut(true);
    let bridge = behind.bridge(&routes).await;
    let (status, body) = bridge.get("/readyz").await;
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (status, &body["phase"]),
        (503, &"recovering".into()),
        "{body}"
    );
    assert_eq!(bridge.get("/livez").await.0, 200);
    schedule(&behind, 3..4, HEARTBEAT);
    assert_eq!(behind.sim.summary().polled, 3, "it polls while recovering");

    proxy.cut(false);
    bridge.ready().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    // The three come again.
    for task in &worker.has_seen(7).await[3..] {
        inbox.reply(task, done(task)).await;
    }
    behind.until("completed", |s| s.completed == 4).await;
    bridge.idle().await;
}

/// More than are published again at once, and no broker.
#[tokio::test]
async fn what_can_not_be_published_again_in_time_is_failed_back_to_aws() {
    const TASKS: u32 = 150;
    let world = World::new().await;
    let worker = world.worker(super::PAYMENTS, |_| Vec::new()).await;
    let proxy = Proxy::start(&world.amqp_uri).await;
    let behind = World::at(proxy.uri.clone(), HOLD).await.kept_in(File);
    let route = |more| super::route(HEARTBEAT, &format!("max_in_flight = 200\n{more}"));
    let mut killed = behind.bridge(&[route("")]).await;
    killed.route_is(super::PAYMENTS, "polling").await;
    proxy.hold(0, true);
    schedule(&behind, 0..TASKS, HEARTBEAT);
    worker.has_seen(TASKS as usize).await;
    killed.kill().await;

    proxy.cut(true);
    let bridge = behind.bridge(&[route("publish_within_secs = 3")]).await;
    let all = u64::from(TASKS);
    behind.until("failed back", |s| s.failed == all).await;
    eventually("the end of recovery", || async {
        let (_, body) = bridge.get("/readyz").await;
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        (body["phase"] != "recovering").then_some(())
    })
    .await;
    let words = behind.sim.tasks().remove(0).reason.unwrap_or_default();
    assert!(words.contains("could not hand it to"), "{words}");
}

/// What a Redis that lost its newest writes gets back from the process that knew them is the record, and no more.
#[tokio::test]
async fn a_task_whose_message_redis_has_lost_is_failed_back_to_aws() {
    let world = World::new().await;
    let worker = world.worker(super::PAYMENTS, |_| Vec::new()).await;
    let proxy = Proxy::start(&world.amqp_uri).await;
    let behind = World::at(proxy.uri.clone(), HOLD).await.kept_in(Redis);
    let mut killed = behind.bridge(&[super::route(HEARTBEAT, "")]).await;
    killed.route_is(super::PAYMENTS, "polling").await;
    proxy.hold(0, true);
    schedule(&behind, 0..1, HEARTBEAT);
    let task = worker.has_seen(1).await.remove(0);
    killed.kill().await;
    let key = format!("{}:task:{{{}}}", behind.prefix(), task.id());
    let mut hdel = redis::cmd("HDEL");
    let lost: u32 = hdel
        .arg(key)
        .arg("message")
        .query_async(&mut behind.redis().await)
        .await
        .expect("deleted");
    assert_eq!(lost, 1);

    let bridge = behind.bridge(&[super::route(HEARTBEAT, "")]).await;
    behind.until("failed back", |s| s.failed == 1).await;
    let record = behind.sim.tasks().remove(0);
    let said = format!("{:?} {:?}", record.reason, record.details);
    assert!(said.contains("could not hand it to"), "{said}");
    assert!(
        said.contains("no copy of what is to be published"),
        "{said}"
    );
    bridge.idle().await;
    assert_eq!(worker.seen().len(), 1);
}

/// The file is one process's.
#[tokio::test]
async fn a_second_process_with_the_same_file_is_refused() {
    let place = Place::new(File, HEARTBEAT).await;
    let bridge = place.bridge().await;
    place.tasks(1).await;
    let mut second = command();
    second
        .args(["run", "--config"])
        .arg(place.world.write_config("", &[place.route()]))
        .env("AWS_ENDPOINT_URL_SWF", place.world.sim.url());
    let ended = tokio::time::timeout(TEST_TIMEOUT, second.output()).await;
    let ended = ended.expect("in time").expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains("tasks.redb") && said.contains("another process"),
        "{said}"
    );
    assert_eq!(bridge.metric("tasks_in_flight").await, 1.0);
    let state = place.world.sim.tasks().remove(0).state;
    assert_eq!(state, TaskState::Started);
}
