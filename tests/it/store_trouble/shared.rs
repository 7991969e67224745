//! Two replicas, whose Redis is frozen: a reply to a task of the other waits until its task can be claimed.

use super::T;
use crate::{
    crash::{PAYMENTS, assert_none_parked, done, route, schedule},
    harness::{Inbox, RedisServer, World, all_acknowledged, eventually, unacknowledged},
};
use lapin::options::QueueDeclareOptions;

const TASKS: u32 = 40;

#[tokio::test]
async fn while_redis_is_frozen_no_reply_is_acknowledged_that_is_not_settled() {
    let redis = RedisServer::start().await;
    let world = World::new().await.kept_at_redis(&redis.url);
    let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
    // Neither can have all.
    let routes = [route(
        T,
        "max_in_flight = 25\npollers = { min = 4, max = 4 }",
    )];
    let (one, two) = (world.bridge(&routes).await, world.bridge(&routes).await);
    one.route_is(PAYMENTS, "polling").await;
    two.route_is(PAYMENTS, "polling").await;
    schedule(&world, 0..TASKS, T);
    let tasks = worker.has_seen(TASKS as usize).await;
    redis.pause().await;
    for bridge in [&one, &two] {
        bridge.route_is(PAYMENTS, "the token store is away").await;
    }

    let inbox = Inbox::connect(&world.amqp_uri).await;
    for task in &tasks {
        inbox.reply(task, done(task)).await;
    }
    // Those that came to the process that has the task.
    world.until("some settled", |s| s.completed >= 5).await;
    let passive = QueueDeclareOptions::durable().passive();
    for _ in 0..3 {
        let reply_to = tasks[0].reply_to();
        let queue = inbox
            .channel()
            .queue_declare(reply_to.into(), passive, Default::default());
        let ready = queue.await.expect("the queue is there").message_count();
        let kept = ready + unacknowledged(&world).await;
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
        let open = world
            .sim
            .tasks()
            .into_iter()
            .filter(|task| task.state.is_open());
        open.fold(true, |all, task| all && task.heartbeat_count >= 4)
            .then_some(())
    })
    .await;

    redis.resume().await;
    let all = u64::from(TASKS);
    world.until("all", |s| s.completed == all).await;
    for bridge in [&one, &two] {
        bridge.idle().await;
        bridge.ready().await;
    }
    all_acknowledged(&world, &inbox, &tasks[0].reply_to()).await;
    assert_none_parked(&inbox).await;
    world.assert_each_settled_once(TASKS as usize);
}
