//! Redis that is unavailable: frozen, slow, cut off, and back without its data.

use super::{BEFORE, COUNT, StoreOutage, T, are_failed_back};
use crate::{
    crash::{HEARTBEAT, Hand, PAYMENTS, done, route, schedule},
    harness::{Proxy, Redis, RedisServer, World},
};
use activity_sim::Summary;
use std::time::Duration;

#[tokio::test]
async fn a_frozen_redis_stops_polling_and_what_is_in_flight_goes_on() {
    let redis = RedisServer::start().await;
    let world = World::new().await.kept_at_redis(&redis.url);
    let outage = StoreOutage::with(world, "").await;
    redis.pause();
    outage.begins().await;
    outage.goes_on().await;
    // What AWS has taken may be acknowledged, though its record can't be removed yet.
    let seen = outage.worker.seen();
    outage.reply(&seen[..5]).await;
    outage.world.until("settled", |s| s.completed == 5).await;
    redis.resume();
    outage.is_over(5).await;
}

#[tokio::test]
async fn what_a_frozen_redis_can_not_record_in_time_is_failed_back_to_aws() {
    let redis = RedisServer::start().await;
    let world = World::new().await.kept_at_redis(&redis.url);
    let outage = StoreOutage::with(world, "publish_within_secs = 3").await;
    redis.pause();
    let polled = outage.begins().await;
    are_failed_back(&outage, polled).await;
    redis.resume();
    outage.bridge.route_is(PAYMENTS, "polling").await;
    let rest = COUNT as usize - polled as usize;
    let seen = outage.worker.has_seen(rest).await;
    outage.reply(&seen).await;
    let all = |s: &Summary| s.completed == rest as u64;
    outage.world.until("the rest", all).await;
    outage.bridge.idle().await;
    assert_eq!(
        outage.worker.seen().len(),
        rest,
        "one that was failed came after all"
    );
}

/// Longer than a lease lasts.
#[tokio::test]
async fn a_redis_that_is_cut_off_for_a_while_costs_nothing() {
    let world = World::new().await.kept_in(Redis);
    let proxy = Proxy::start(&std::env::var("REDIS_URL").expect("a Redis")).await;
    let world = world.kept_at_redis(&proxy.uri);
    let outage = StoreOutage::with(world, "").await;
    proxy.cut(true);
    outage.begins().await;
    outage.goes_on().await;
    proxy.cut(false);
    outage.is_over(0).await;
}

/// It has taken the record; that it has, does not arrive.
#[tokio::test]
async fn a_record_that_redis_has_not_answered_for_is_not_published() {
    let proxy = Proxy::start(&std::env::var("REDIS_URL").expect("a Redis")).await;
    let world = World::new().await.kept_at_redis(&proxy.uri);
    let outage = StoreOutage::with(world, "").await;
    proxy.hold_all(true);
    outage.begins().await;
    outage.goes_on().await;
    proxy.hold_all(false);
    outage.is_over(0).await;
}

/// The processes have their tasks in memory, and put them back.
#[tokio::test]
async fn a_redis_that_comes_back_empty_costs_nothing() {
    let redis = RedisServer::start().await;
    let world = World::new().await.kept_at_redis(&redis.url);
    let outage = StoreOutage::with(world, "").await;
    redis.restart_empty().await;
    schedule(&outage.world, BEFORE..COUNT, T);
    outage.is_over(0).await;
}

/// And are found by a process that starts afterwards, with the replies to them.
#[tokio::test]
async fn records_that_redis_lost_are_made_anew() {
    let redis = RedisServer::start().await;
    let world = World::new().await.kept_at_redis(&redis.url);
    let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
    let routes = [route(HEARTBEAT, "")];
    let mut killed = world.bridge(&routes).await;
    schedule(&world, 0..BEFORE, HEARTBEAT);
    let tasks = worker.has_seen(BEFORE as usize).await;
    redis.restart_empty().await;
    killed.logged("the lease on the tasks ran out").await;
    let second = world.bridge(&routes).await;
    second.ready().await;
    killed.kill().await;
    Hand::of(&world).await.end(tasks).await;
    let all = |s: &Summary| s.completed == u64::from(BEFORE);
    world.until("all", all).await;
    second.idle().await;
    world.assert_each_settled_once(BEFORE as usize);
}

#[tokio::test]
async fn a_slow_redis_slows_the_tasks_and_loses_none() {
    let proxy = Proxy::start(&std::env::var("REDIS_URL").expect("a Redis")).await;
    let world = World::new().await.kept_at_redis(&proxy.uri);
    proxy.late(Duration::from_millis(300));
    let worker = world.worker(PAYMENTS, |task| vec![done(task)]).await;
    let bridge = world.bridge(&[route(T, "")]).await;
    schedule(&world, 0..200, T);
    world.until("all", |s| s.completed == 200).await;
    bridge.idle().await;
    assert_eq!(worker.seen().len(), 200);
    world.assert_each_settled_once(200);
    for task in world.sim.tasks() {
        let took = task.closed_ms.expect("closed") - task.started_ms.expect("started");
        assert!(took >= 300, "{took} ms: it was not recorded first");
    }
}
