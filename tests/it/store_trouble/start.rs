//! A start while the records can't be read.

use crate::{
    crash::{PAYMENTS, route},
    harness::{RedisServer, World},
};
use std::time::Duration;

/// A process has left with a task, and Redis lets nobody read which.
async fn forbid(redis: &RedisServer, prefix: &str) {
    let client = redis::Client::open(&*redis.url).expect("a URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("connected");
    let mut all = redis::pipe();
    all.sadd(format!("{prefix}:owners"), "dead")
        .pset_ex(format!("{prefix}:owner:{{dead}}:lease"), "left", 600_000)
        .sadd(format!("{prefix}:owner:{{dead}}:tasks"), "0".repeat(32))
        .cmd("ACL")
        .arg("SETUSER")
        .arg("default")
        .arg("-sscan");
    let done: redis::RedisResult<()> = all.query_async(&mut connection).await;
    done.expect("written");
}

#[tokio::test]
async fn a_start_that_can_not_read_the_records_says_so_and_ends_when_it_is_told_to() {
    let redis = RedisServer::start().await;
    let world = World::new().await.kept_at_redis(&redis.url);
    forbid(&redis, world.prefix()).await;
    // It does not wait for the end of the grace period, which is later than this test waits.
    let settings = "[shutdown]\ngrace_secs = 600";
    let routes = [route(Duration::from_secs(60), "")];
    let mut bridge = world.bridge_with(settings, &routes).await;
    bridge.logged("the records can't be read").await;
    assert_eq!(bridge.get("/livez").await.0, 200);
    let (status, body) = bridge.get("/readyz").await;
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (status, &body["phase"]),
        (503, &"recovering".into()),
        "{body}"
    );
    let (ready, _) = bridge.route(PAYMENTS).await;
    assert!(!ready);

    let status = bridge.terminate().await;
    assert_eq!(status.code(), Some(0));
}
