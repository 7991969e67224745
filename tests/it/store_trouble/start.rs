//! A start while the records can't be read.

use crate::{
    crash::{PAYMENTS, route},
    harness::{Redis, World},
};
use std::time::Duration;

/// What a process that has left seems to have is no set.
async fn spoil(world: &World) {
    let prefix = world.prefix();
    let mut both = redis::pipe();
    both.sadd(format!("{prefix}:owners"), "dead")
        .set(format!("{prefix}:owner:{{dead}}:lease"), "left")
        .set(format!("{prefix}:owner:{{dead}}:tasks"), "no set");
    let spoilt: redis::RedisResult<()> = both.query_async(&mut world.redis().await).await;
    spoilt.expect("written");
}

#[tokio::test]
async fn a_start_that_can_not_read_the_records_says_so_and_ends_when_it_is_told_to() {
    let world = World::new().await.kept_in(Redis);
    spoil(&world).await;
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
