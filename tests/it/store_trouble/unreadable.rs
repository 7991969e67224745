//! What somebody else has put into Redis, among the keys of the bridge. No process stops for it, and no task is lost.

use crate::{
    crash::{PAYMENTS, assert_none_parked, done, route, schedule},
    harness::{Inbox, RedisServer, World, eventually},
};
use redis::{AsyncCommands, aio::MultiplexedConnection};
use std::time::Duration;

/// The tasks of the dead process wait for their adoption.
const HEARTBEAT: Duration = Duration::from_secs(60);

const BEFORE: u32 = 20;
const AFTER: u32 = 20;
const COUNT: u32 = BEFORE + AFTER;

#[tokio::test]
async fn what_nobody_can_read_in_redis_stops_no_process_and_no_recovery() {
    let redis = RedisServer::start().await;
    let world = World::new().await.kept_at_redis(&redis.url);
    let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
    let routes = [route(
        HEARTBEAT,
        "max_in_flight = 40\npollers = { min = 2, max = 4 }",
    )];
    let mut dying = world.polling_bridge(PAYMENTS, &routes).await;
    let other = world.polling_bridge(PAYMENTS, &routes).await;
    schedule(&world, 0..BEFORE, HEARTBEAT);
    worker.has_seen(BEFORE as usize).await;

    let client = redis::Client::open(&*redis.url).expect("a URL");
    let mut keys = client
        .get_multiplexed_async_connection()
        .await
        .expect("connected");
    spoil(&mut keys, world.prefix()).await;
    // Each begins with a renewal, five times a second.
    eventually("the inboxes are made anew", || async {
        (other.metric("store_unreadable").await >= 1.0).then_some(())
    })
    .await;
    dying.kill().await;
    let next = world.bridge(&routes).await;
    next.ready().await;
    schedule(&world, BEFORE..COUNT, HEARTBEAT);
    let tasks = worker.has_seen(COUNT as usize).await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    for task in &tasks {
        inbox.reply(task, done(task)).await;
    }
    world
        .until("all", |s| s.completed == u64::from(COUNT))
        .await;
    for bridge in [&other, &next] {
        bridge.idle().await;
        bridge.ready().await;
        let unreadable = bridge.metric("store_unreadable").await;
        assert!(unreadable >= 1.0, "{unreadable}");
        let (_, readyz) = bridge.get("/readyz").await;
        assert!(readyz.contains("that can't be read"), "{readyz}");
    }
    assert_none_parked(&inbox).await;
    world.assert_each_settled_once(COUNT as usize);
}

/// Bytes and a stranger among the owners, and a value in place of each inbox.
async fn spoil(keys: &mut MultiplexedConnection, prefix: &str) {
    let owners = format!("{prefix}:owners");
    let processes: Vec<String> = keys.smembers(&owners).await.expect("names");
    assert_eq!(processes.len(), 2);
    let owner = |name: &str, what: &str| format!("{prefix}:owner:{{{name}}}:{what}");
    let () = keys.sadd(&owners, &[0xff_u8][..]).await.expect("added");
    let () = keys.sadd(&owners, "stranger").await.expect("added");
    for what in ["lease", "tasks", "mail"] {
        let () = keys
            .rpush(owner("stranger", what), "x")
            .await
            .expect("added");
    }
    for process in processes {
        let () = keys.set(owner(&process, "mail"), "x").await.expect("set");
    }
}
