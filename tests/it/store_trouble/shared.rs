//! Two replicas whose Redis is unavailable. A reply to a task of the other replica waits until its task can be claimed.
//! A worker whose heartbeats reach the other replica is presumed alive.

use super::T;
use crate::{
    crash::{PAYMENTS, assert_none_parked, done, number, route, schedule},
    harness::{
        Answer, BridgeProcess, Inbox, Proxy, Redis, RedisServer, Route, TaskMessage, World,
        all_acknowledged, eventually, unacknowledged,
    },
};
use activity_sim::{Summary, TaskRecord};
use lapin::options::QueueDeclareOptions;
use std::time::Duration;
use tokio::time::interval;

const TASKS: u32 = 40;

/// Two processes, each with some of the tasks.
struct Two {
    redis: RedisServer,
    world: World,
    bridges: [BridgeProcess; 2],
    inbox: Inbox,
    tasks: Vec<TaskMessage>,
}

impl Two {
    async fn start() -> Self {
        Self::with(T, "").await
    }

    /// With this heartbeat timeout, and more in the table `heartbeat` of the route.
    async fn with(timeout: Duration, heartbeat: &str) -> Self {
        let redis = RedisServer::start().await;
        let world = World::new().await.kept_at_redis(&redis.url);
        let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
        // Neither can have all.
        let secs = timeout.as_secs();
        let routes = [Route::new(PAYMENTS)
            .with(&format!(
                "heartbeat = {{ timeout_secs = {secs}{heartbeat} }}"
            ))
            .with("max_in_flight = 25\npollers = { min = 4, max = 4 }")];
        let bridges = [
            world.polling_bridge(PAYMENTS, &routes).await,
            world.polling_bridge(PAYMENTS, &routes).await,
        ];
        schedule(&world, 0..TASKS, timeout);
        let tasks = worker.has_seen(TASKS as usize).await;
        Self {
            inbox: Inbox::connect(&world.amqp_uri).await,
            redis,
            world,
            bridges,
            tasks,
        }
    }

    async fn reply_to_all(&self) {
        for task in &self.tasks {
            self.inbox.reply(task, done(task)).await;
        }
    }

    async fn all_say(&self, tasks: &[TaskMessage], kind: &'static str) {
        for task in tasks {
            self.inbox.reply(task, Answer::of(kind, "")).await;
        }
    }

    /// Redis is frozen, and both processes know.
    async fn lose_redis(&self) {
        self.redis.pause();
        for bridge in &self.bridges {
            bridge.route_is(PAYMENTS, "the token store is away").await;
        }
    }

    async fn all_end(&self) {
        let all = u64::from(TASKS);
        self.world.until("all", |s| s.completed == all).await;
        for bridge in &self.bridges {
            bridge.idle().await;
            bridge.ready().await;
        }
        all_acknowledged(&self.world, &self.inbox, &self.tasks[0].reply_to()).await;
        assert_none_parked(&self.inbox).await;
        self.world.assert_each_settled_once(TASKS as usize);
    }
}

#[tokio::test]
async fn while_redis_is_frozen_no_reply_is_acknowledged_that_is_not_settled() {
    let two = Two::start().await;
    let world = &two.world;
    two.lose_redis().await;
    two.reply_to_all().await;
    // Those that came to the process that has the task.
    world.until("some settled", |s| s.completed >= 5).await;
    let passive = QueueDeclareOptions::durable().passive();
    for _ in 0..3 {
        let reply_to = two.tasks[0].reply_to();
        let channel = two.inbox.channel();
        let queue = channel.queue_declare(reply_to.into(), passive, Default::default());
        let ready = queue.await.expect("the queue is there").message_count();
        let kept = ready + unacknowledged(world).await;
        // What is settled meanwhile does no harm here: more can't have been acknowledged than is settled now.
        let settled = world.sim.summary().completed;
        let acknowledged = u64::from(TASKS).saturating_sub(u64::from(kept));
        assert!(
            acknowledged <= settled,
            "{acknowledged} acknowledged, {settled} settled"
        );
        assert!(settled < u64::from(TASKS), "no reply had to be claimed");
    }
    eventually("heartbeats while it is frozen", || async {
        let mut tasks = world.sim.tasks().into_iter();
        let beaten = |task: TaskRecord| !task.state.is_open() || task.heartbeat_count >= 4;
        tasks.all(beaten).then_some(())
    })
    .await;
    two.redis.resume();
    two.all_end().await;
}

/// A dead letter has the type of its task, which is the name of the activity. As many come to the other's process.
#[tokio::test]
async fn while_redis_is_frozen_no_dead_letter_is_taken_for_a_sign_of_life() {
    let two = Two::start().await;
    two.lose_redis().await;
    for task in &two.tasks {
        let dead = Answer {
            exchange: "activity-bridge.dead-letters",
            ..Answer::of("heartbeat", "")
        };
        let dead = dead
            .header("x-first-death-reason", "rejected")
            .header("reply-queue", &task.reply_to());
        two.inbox.reply(task, dead).await;
    }
    two.world.until("some failed", |s| s.failed >= 5).await;
    two.redis.resume();
    let all = u64::from(TASKS);
    two.world.until("all failed", |s| s.failed == all).await;
    let tasks = two.world.sim.tasks();
    assert!(tasks.iter().all(|task| task.settle_calls == 1), "{tasks:?}");
}

/// Each process puts its own tasks back; a reply to one that is not back yet is not a reply to an unknown task.
#[tokio::test]
async fn a_redis_that_comes_back_empty_costs_no_reply_to_a_task_of_the_other() {
    let two = Two::start().await;
    two.redis.pause();
    two.reply_to_all().await;
    let some = |s: &Summary| s.completed >= 5;
    two.world.until("some settled", some).await;
    two.redis.restart_empty().await;
    two.all_end().await;
}

/// Half of them begin before it is frozen, the others meanwhile. The broker deals out what the workers say by turns.
#[tokio::test]
async fn while_redis_is_frozen_workers_are_alive_whichever_process_hears_of_them() {
    // A busy machine may need many seconds to get this far.
    const HEARTBEAT: Duration = Duration::from_secs(20);
    let two = Two::with(HEARTBEAT, ", max_wait_secs = 45").await;
    let (before, meanwhile) = two.tasks.split_at(TASKS as usize / 2);
    two.all_say(before, "started").await;
    eventually("half of them being worked on", || async {
        let (_, one) = two.bridges[0].get("/tasks").await;
        let both = one + &two.bridges[1].get("/tasks").await.1;
        (both.matches("\"working\"").count() == before.len()).then_some(())
    })
    .await;
    two.lose_redis().await;
    two.all_say(meanwhile, "started").await;
    // For longer than twice the heartbeat timeout, and than any may wait to be started.
    let mut beat = interval(HEARTBEAT / 4);
    for beats in 0..=9 {
        beat.tick().await;
        two.all_say(&two.tasks, "heartbeat").await;
        let open = two.world.sim.summary().open;
        assert_eq!(open, u64::from(TASKS), "after {beats} heartbeats");
    }
    // Nor do results wait behind the heartbeats that can't be handed on.
    two.reply_to_all().await;
    let some = |s: &Summary| s.completed >= 5;
    two.world.until("some settled", some).await;
    two.redis.resume();
    two.all_end().await;
}

/// Redis has taken the records, which the process does not hear; then it is cut off for longer than its lease lasts.
#[tokio::test]
async fn a_process_that_lost_a_task_before_it_knew_that_it_was_recorded_leaves_the_record_alone() {
    const HEARTBEAT: Duration = Duration::from_secs(30);
    let proxy = Proxy::start(&std::env::var("REDIS_URL").expect("a Redis")).await;
    let world = World::new().await.kept_in(Redis);
    let worker = world.worker(PAYMENTS, |task| match number(&task.body) {
        0 => vec![done(task)],
        _ => Vec::new(),
    });
    let worker = worker.await;
    let env = [("ACTIVITY_BRIDGE_STORE__URL", &*proxy.uri)];
    let routes = [route(HEARTBEAT, "pollers = { min = 16, max = 16 }")];
    let one = world.bridge_in(&env, "", &routes).await;
    // With the first task, Redis learns the script by which tasks are recorded.
    schedule(&world, 0..1, HEARTBEAT);
    let done_with_it = |s: &Summary| s.completed == 1 && s.open_polls == 16;
    world.until("the first", done_with_it).await;
    eventually("no record of it", || async {
        world.has_no_records().await.then_some(())
    })
    .await;
    proxy.hold_all(true);
    schedule(&world, 1..17, HEARTBEAT);
    world.until("polled", |s| s.polled == 17).await;
    one.logged("a task could not be recorded").await;
    proxy.cut(true);
    let routes = [route(HEARTBEAT, "pollers = { min = 1, max = 1 }")];
    let env = [("AWS_ACCESS_KEY_ID", "two")];
    let two = world.bridge_in(&env, "", &routes).await;
    let tasks = worker.has_seen(17).await.split_off(1);
    // By then the first tries to record them more and more rarely, so that it looks before it tries again.
    let by_two = |task: &TaskRecord| {
        let by = task.heartbeats.iter().map(|beat| beat.by.as_deref());
        by.filter(|by| *by == Some("two")).count()
    };
    eventually("heartbeats", || async {
        let open = world.sim.tasks().into_iter();
        let mut open = open.filter(|task| task.state.is_open());
        open.all(|task| by_two(&task) >= 2).then_some(())
    })
    .await;

    proxy.hold_all(false);
    proxy.cut(false);
    one.idle().await;
    assert_eq!(two.metric("tasks_in_flight").await, 16.0);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    for task in &tasks {
        inbox.reply(task, done(task)).await;
    }
    world.until("all", |s| s.completed == 17).await;
    one.idle().await;
    two.idle().await;
    all_acknowledged(&world, &inbox, &tasks[0].reply_to()).await;
    assert_none_parked(&inbox).await;
    world.assert_each_settled_once(17);
}
