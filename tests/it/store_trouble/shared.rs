//! Two replicas, whose Redis is away: a reply to a task of the other waits until its task can be claimed.

use super::T;
use crate::{
    crash::{PAYMENTS, assert_none_parked, done, route, schedule},
    harness::{
        BridgeProcess, Inbox, RedisServer, TaskMessage, World, all_acknowledged, eventually,
        unacknowledged,
    },
};
use activity_sim::{Summary, TaskRecord};
use lapin::options::QueueDeclareOptions;

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
        let redis = RedisServer::start().await;
        let world = World::new().await.kept_at_redis(&redis.url);
        let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
        // Neither can have all.
        let routes = [route(
            T,
            "max_in_flight = 25\npollers = { min = 4, max = 4 }",
        )];
        let bridges = [world.bridge(&routes).await, world.bridge(&routes).await];
        for bridge in &bridges {
            bridge.route_is(PAYMENTS, "polling").await;
        }
        schedule(&world, 0..TASKS, T);
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
    two.redis.pause().await;
    for bridge in &two.bridges {
        bridge.route_is(PAYMENTS, "the token store is away").await;
    }
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
    two.redis.resume().await;
    two.all_end().await;
}

/// Each process puts its own tasks back; a reply to one that is not back yet is not a reply to an unknown task.
#[tokio::test]
async fn a_redis_that_comes_back_empty_costs_no_reply_to_a_task_of_the_other() {
    let two = Two::start().await;
    two.redis.pause().await;
    two.reply_to_all().await;
    let some = |s: &Summary| s.completed >= 5;
    two.world.until("some settled", some).await;
    two.redis.restart_empty().await;
    two.all_end().await;
}
