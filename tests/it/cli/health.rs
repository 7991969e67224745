//! The command `health`: what a container's health check is told.

use super::{Ended, NOBODY, ended};
use crate::harness::{Route, World, command};
use std::path::Path;

async fn health(config: &Path, listen: &str) -> Ended {
    let mut command = command();
    command.args(["health", "--ready", "--config"]).arg(config);
    command.env("ACTIVITY_BRIDGE_ADMIN__LISTEN", listen);
    ended(command).await
}

#[tokio::test]
async fn health_is_what_the_running_bridge_says() {
    let world = World::new().await;
    let routes = [Route::new("payments")];
    let config = world.write_config("", &routes);
    let nobody = health(&config, NOBODY).await;
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.err.contains("did not answer"), "{}", nobody.err);

    let mut bridge = world.bridge(&routes).await;
    bridge.ready().await;
    let ready = health(&config, bridge.admin_addr()).await;
    assert_eq!(
        (ready.code, ready.out.as_str()),
        (Some(0), "ready: /readyz answered 200 OK\n")
    );

    assert!(bridge.terminate().await.success());
    // A domain that AWS does not know makes the route unready.
    let unknown = world
        .bridge(&[Route::new("payments")
            .domain("nowhere")
            .with("poll_without_consumers = true")])
        .await;
    unknown.route_is("payments", "UnknownResourceFault").await;
    let unready = health(&config, unknown.admin_addr()).await;
    assert_eq!(unready.code, Some(1), "{}", unready.err);
    assert!(unready.out.starts_with("not ready: "), "{}", unready.out);
}
