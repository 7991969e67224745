//! Several processes with one Redis: each task has one owner, and any process can settle it.

use crate::{
    crash::{Hand, PAYMENTS, done, route, schedule},
    harness::{
        Answer, BridgeProcess, Inbox, Redis, RedisServer, Route, Worker, World, all_acknowledged,
        eventually,
    },
};
use activity_sim::{Schedule, Summary, TaskRecord, TaskState, Timeouts};
use std::{collections::HashSet, time::Duration};

/// Two processes, each with some of the tasks, and a worker that says nothing.
struct Pair {
    world: World,
    worker: Worker,
    inbox: Inbox,
    /// Their calls to AWS are signed with access keys of these names.
    one: BridgeProcess,
    two: BridgeProcess,
}

impl Pair {
    async fn with(heartbeat: Duration, settings: &str) -> Self {
        let world = World::new().await.kept_in(Redis);
        let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
        let start = async |name| {
            let bridge = replica(&world, name, settings, heartbeat).await;
            bridge.route_is(PAYMENTS, "polling").await;
            bridge
        };
        let (one, two) = (start("one").await, start("two").await);
        Self {
            inbox: Inbox::connect(&world.amqp_uri).await,
            world,
            worker,
            one,
            two,
        }
    }

    /// Schedules so many tasks and waits until the worker has them. Each process has some.
    async fn tasks(&self, count: u32, heartbeat: Duration) {
        let both = |s: &Summary| s.open_polls >= 4;
        self.world.until("polls of both", both).await;
        schedule(&self.world, 0..count, heartbeat);
        self.worker.has_seen(count as usize).await;
        for bridge in [&self.one, &self.two] {
            assert!(bridge.metric("tasks_in_flight").await > 0.0, "it has none");
        }
    }

    /// Waits until both have nothing to do, then asserts that every reply was acknowledged.
    async fn is_settled(&self) {
        self.one.idle().await;
        self.two.idle().await;
        let reply_to = self.worker.seen()[0].reply_to();
        all_acknowledged(&self.world, &self.inbox, &reply_to).await;
        crate::crash::assert_none_parked(&self.inbox).await;
    }
}

/// A process whose calls to AWS tell it from the others.
pub async fn replica(
    world: &World,
    name: &str,
    settings: &str,
    heartbeat: Duration,
) -> BridgeProcess {
    let env = [("AWS_ACCESS_KEY_ID", name)];
    let routes = [route(heartbeat, "pollers = { min = 2, max = 8 }")];
    world.bridge_in(&env, settings, &routes).await
}

/// Which process sent the newest heartbeat.
pub fn beaten_by(task: &TaskRecord) -> Option<&str> {
    task.heartbeats.back()?.by.as_deref()
}

/// Only one of the two has the route `refunds`.
#[tokio::test]
async fn a_process_without_the_route_of_a_task_leaves_it_and_its_replies_to_others() {
    let heartbeat = Duration::from_secs(20);
    let world = World::new().await.kept_in(Redis);
    let worker = world.worker("refunds", |_| Vec::new()).await;
    let refunds = [Route::new("refunds").with("heartbeat = { timeout_secs = 20 }")];
    let mut killed = world.bridge(&refunds).await;
    let stranger = world.bridge(&[route(heartbeat, "")]).await;
    for n in 0..8 {
        world.sim.schedule(Schedule {
            input: Some(format!("{{\"n\":{n}}}")),
            timeouts: Timeouts {
                heartbeat: Some(heartbeat),
                ..Timeouts::default()
            },
            ..world.plain("refunds")
        });
    }
    let tasks = worker.has_seen(8).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let (first, second) = tasks.split_at(4);
    for task in first {
        inbox.reply(task, done(task)).await;
    }
    world.until("the first", |s| s.completed == 4).await;
    // Until its record is removed, the next process may settle a task once more.
    world.has_records(4).await;
    killed.kill().await;
    for task in second {
        inbox.reply(task, done(task)).await;
    }
    stranger.logged("a route that is not configured here").await;
    let bridge = world.bridge(&refunds).await;
    world.until("the second", |s| s.completed == 8).await;
    bridge.idle().await;
    all_acknowledged(&world, &inbox, &tasks[0].reply_to()).await;
    crate::crash::assert_none_parked(&inbox).await;
    world.assert_each_settled_once(8);
    assert_eq!(stranger.metric("tasks_in_flight").await, 0.0);
}

#[tokio::test]
async fn a_redis_cluster_serves_as_one_server_does() {
    let redis = RedisServer::cluster().await;
    let world = World::new().await.kept_in_cluster(&redis.url);
    let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
    let mut killed = replica(&world, "killed", "", MINUTE).await;
    killed.route_is(PAYMENTS, "polling").await;
    let other = replica(&world, "other", "", MINUTE).await;
    other.route_is(PAYMENTS, "polling").await;
    schedule(&world, 0..100, MINUTE);
    let tasks = worker.has_seen(100).await;
    let hand = Hand::of(&world).await;
    hand.end(tasks[..50].iter().cloned()).await;
    world.until("half of them", |s| s.completed == 50).await;
    killed.kill().await;
    hand.end(tasks).await;
    world.until("all", |s| s.completed == 100).await;
    other.idle().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let reply_to = worker.seen()[0].reply_to();
    all_acknowledged(&world, &inbox, &reply_to).await;
    crate::crash::assert_none_parked(&inbox).await;
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_reply_settles_its_task_whichever_process_it_comes_to() {
    let pair = Pair::with(MINUTE, "").await;
    pair.tasks(100, MINUTE).await;
    let to: HashSet<_> = pair
        .worker
        .seen()
        .iter()
        .map(|task| task.reply_to())
        .collect();
    assert_eq!(to.len(), 1, "they share a reply queue");
    Hand::of(&pair.world).await.end(pair.worker.seen()).await;
    pair.world.until("all", |s| s.completed == 100).await;
    pair.is_settled().await;
    pair.world.assert_each_settled_once(100);
}

/// With a heartbeat every 3 s at most, those of a task come from one process.
#[tokio::test]
async fn the_heartbeats_of_a_task_come_from_one_process() {
    let heartbeat = Duration::from_secs(9);
    let pair = Pair::with(heartbeat, "").await;
    pair.tasks(20, heartbeat).await;
    let enough = |task: &TaskRecord| task.heartbeat_count >= 5;
    eventually("heartbeats", || async {
        pair.world.sim.tasks().iter().all(enough).then_some(())
    })
    .await;
    for task in pair.world.sim.tasks() {
        let by: HashSet<_> = task
            .heartbeats
            .iter()
            .map(|beat| beat.by.as_deref())
            .collect();
        assert_eq!(by.len(), 1, "{task:?}");
    }
}

#[tokio::test]
async fn the_tasks_of_a_process_that_is_killed_are_taken_over() {
    let mut pair = Pair::with(MINUTE, "").await;
    pair.tasks(40, MINUTE).await;
    assert!(pair.one.metric("tasks_in_flight").await > 0.0);
    pair.one.kill().await;
    eventually("a take-over", || async {
        (pair.two.metric("tasks_in_flight").await == 40.0).then_some(())
    })
    .await;
    Hand::of(&pair.world).await.end(pair.worker.seen()).await;
    pair.world.until("all", |s| s.completed == 40).await;
    pair.two.idle().await;
}

/// It says goodbye, so nobody waits for its lease to run out.
#[tokio::test]
async fn the_tasks_of_a_process_that_ends_cleanly_are_taken_over_at_once() {
    let mut pair = Pair::with(MINUTE, "[shutdown]\ngrace_secs = 4").await;
    pair.tasks(40, MINUTE).await;
    pair.one.signal("TERM");
    pair.one.logged("phase=\"draining\"").await;
    // The other would take away the tasks, and what is left of the lease with them.
    pair.two.signal("STOP");
    assert!(pair.one.ended().await.success());
    let ready = pair.one.logged("token store ready").await;
    let (_, owner) = ready.split_once("owner=").expect("its name");
    let owner = owner.trim().trim_matches('"');
    let lease = format!("{}:owner:{{{owner}}}:lease", pair.world.prefix());
    let mut get = redis::cmd("GET");
    let get = get.arg(lease);
    let says: Option<String> = get
        .query_async(&mut pair.world.redis().await)
        .await
        .expect("read");
    assert_eq!(says.as_deref(), Some("left"));
    pair.two.signal("CONT");
    eventually("the other having all", || async {
        (pair.two.metric("tasks_in_flight").await == 40.0).then_some(())
    })
    .await;
    Hand::of(&pair.world).await.end(pair.worker.seen()).await;
    pair.world.until("all", |s| s.completed == 40).await;
    pair.two.idle().await;
    pair.world.assert_each_settled_once(40);
}

/// The broker deals heartbeats out by turns.
#[tokio::test]
async fn a_worker_hears_of_a_cancel_whichever_process_it_asks() {
    let heartbeat = Duration::from_secs(9);
    let pair = Pair::with(heartbeat, "").await;
    schedule(&pair.world, 0..1, heartbeat);
    let task = pair.worker.has_seen(1).await.remove(0);
    let control = pair.inbox.bind("activity-bridge.control", &task.id()).await;
    let id = pair.world.sim.tasks().remove(0).activity_id;
    assert_eq!(pair.world.sim.cancel([&id]).requested.len(), 1);
    let told = pair.inbox.next(&control).await;
    assert_eq!(told.header("reason").as_deref(), Some("cancel-requested"));
    let own = pair.inbox.own_queue().await;
    // The one that does not have the task learns of it from Redis.
    eventually(
        "four answers of cancel-requested, one after the other",
        || async {
            for _ in 0..4 {
                let sign = Answer::of("heartbeat", "").asking(&own);
                pair.inbox.reply(&task, sign).await;
                let answer = pair.inbox.next(&own).await;
                if answer.header("status").as_deref() != Some("cancel-requested") {
                    return None;
                }
            }
            Some(())
        },
    )
    .await;
    pair.inbox.reply(&task, Answer::of("canceled", "")).await;
    assert_eq!(pair.world.closed(&id).await.state, TaskState::Canceled);
}

#[tokio::test]
async fn details_of_a_heartbeat_reach_aws_whichever_process_hears_it() {
    let heartbeat = Duration::from_secs(9);
    let pair = Pair::with(heartbeat, "").await;
    schedule(&pair.world, 0..1, heartbeat);
    let task = pair.worker.has_seen(1).await.remove(0);
    let id = pair.world.sim.tasks().remove(0).activity_id;
    for beat in ["first", "second", "third", "fourth"] {
        pair.inbox.reply(&task, Answer::of("heartbeat", beat)).await;
        let heard = |task: &TaskRecord| {
            let newest = task.heartbeats.back();
            newest.is_some_and(|newest| newest.details.as_deref() == Some(beat))
        };
        let heard = pair
            .world
            .sim
            .wait_for_task(&id, crate::harness::TEST_TIMEOUT, heard)
            .await;
        heard.unwrap_or_else(|error| panic!("{beat}: {error}"));
    }
    pair.inbox.reply(&task, done(&task)).await;
    assert_eq!(pair.world.closed(&id).await.state, TaskState::Completed);
}

/// From then on no process speaks for it.
#[tokio::test]
async fn a_worker_that_begins_is_on_its_own_whichever_process_hears_of_it() {
    let heartbeat = Duration::from_secs(3);
    let pair = Pair::with(heartbeat, "").await;
    schedule(&pair.world, 0..8, heartbeat);
    for task in pair.worker.has_seen(8).await {
        pair.inbox.reply(&task, Answer::of("started", "")).await;
    }
    let all = |s: &Summary| s.timed_out == 8;
    pair.world.until("the dead worker is noticed", all).await;
    pair.one.idle().await;
    pair.two.idle().await;
}
