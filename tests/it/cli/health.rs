//! The command `health`: what a container's health check is told.

use super::{Ended, NOBODY, ended};
use crate::harness::{Route, World, command};
use std::path::Path;

async fn health(words: &[&str], config: &Path, listen: &str) -> Ended {
    let mut command = command();
    command.args(words).arg("--config").arg(config);
    command.env("ACTIVITY_BRIDGE_ADMIN__LISTEN", listen);
    ended(command).await
}

#[tokio::test]
async fn health_is_what_the_running_bridge_says() {
    let world = World::new().await;
    let routes = [Route::new("payments")];
    let config = world.write_config("", &routes);
    let (started, ready) = (&["health"][..], &["health", "--ready"][..]);
    let nobody = health(started, &config, NOBODY).await;
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.err.contains("did not answer"), "{}", nobody.err);

    let mut bridge = world.bridge(&routes).await;
    bridge.ready().await;
    for (words, said) in [
        (started, "started: /started answered 200 OK\n"),
        (ready, "ready: /readyz answered 200 OK\n"),
    ] {
        let health = health(words, &config, bridge.admin_addr()).await;
        assert_eq!((health.code, health.out.as_str()), (Some(0), said));
    }

    assert!(bridge.terminate().await.success());
    // A domain that AWS does not know makes the route unready. The process has started all the same, and a new one would not help.
    let unknown = world
        .bridge(&[Route::new("payments")
            .domain("nowhere")
            .with("poll_without_consumers = true")])
        .await;
    unknown.route_is("payments", "UnknownResourceFault").await;
    let healthy = health(started, &config, unknown.admin_addr()).await;
    assert_eq!(healthy.code, Some(0), "{}", healthy.err);
    let unready = health(ready, &config, unknown.admin_addr()).await;
    assert_eq!(unready.code, Some(1), "{}", unready.err);
    assert!(unready.out.starts_with("not ready: "), "{}", unready.out);
}
