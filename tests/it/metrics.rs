//! The metrics of a bridge that runs tell the truth about its routes and their tasks.

use crate::harness::{Answer, BridgeProcess, Route, Scene, World, eventually};

async fn legs(bridge: &BridgeProcess, leg: &str) -> f64 {
    let series = format!("task_leg_duration_seconds_count{{leg=\"{leg}\"");
    bridge.metric(&series).await
}

#[tokio::test]
async fn a_task_is_told_while_it_goes_on_and_each_of_its_legs_when_it_is_over() {
    let scene = Scene::with("max_in_flight = 5").await;
    let bridge = &scene.bridge;
    let (id, task) = scene.task(scene.plain()).await;
    scene.inbox.reply(&task, Answer::of("started", "")).await;
    let working = r#"route_tasks_in_flight{route="payments",source="swf",state="working"}"#;
    eventually("a task that a worker works on", || async {
        (bridge.metric(working).await == 1.0).then_some(())
    })
    .await;
    assert!(bridge.metric("oldest_task_age_seconds").await > 0.0);
    assert_eq!(bridge.metric("slots{").await, 5.0);
    assert!(bridge.metric("slots_taken{").await >= 1.0);
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    scene.world.closed(&id).await;
    bridge.idle().await;
    for leg in ["publish", "wait", "work", "settle"] {
        assert_eq!(legs(bridge, leg).await, 1.0, "{leg}");
    }
    assert_eq!(legs(bridge, "wait-and-work").await, 0.0);
    assert_eq!(bridge.metric("oldest_task_age_seconds").await, 0.0);
    assert_eq!(bridge.metric(working).await, 0.0);
}

#[tokio::test]
async fn the_reason_of_each_route_is_that_of_readyz_and_of_no_other_route() {
    let world = World::new().await;
    let _worker = world.worker("payments", |_| Vec::new()).await;
    let routes = [
        Route::new("payments"),
        Route::new("idle"),
        Route::new("nowhere")
            .domain("nowhere")
            .with("poll_without_consumers = true"),
    ];
    let bridge = world.bridge_with("", &routes).await;
    for (route, words, reason, ready) in [
        ("payments", "polling", "polling", 1.0),
        ("idle", "waiting for a consumer", "no-consumers", 1.0),
        ("nowhere", "refused: ", "refused", 0.0),
    ] {
        bridge.route_is(route, words).await;
        let state = |reason: &str| {
            format!("route_state{{reason=\"{reason}\",route=\"{route}\",source=\"swf\"}}")
        };
        assert_eq!(bridge.metric(&state(reason)).await, 1.0, "{route}");
        for other in ["polling", "no-consumers", "refused", "starting"] {
            let expected = f64::from(u8::from(other == reason));
            assert_eq!(
                bridge.metric(&state(other)).await,
                expected,
                "{route}: {other}"
            );
        }
        let is_ready = format!("route_ready{{route=\"{route}\",source=\"swf\"}}");
        assert_eq!(bridge.metric(&is_ready).await, ready, "{route}");
    }
    assert_eq!(bridge.get("/readyz").await.0, 503);
    assert_eq!(bridge.metric("ready ").await, 0.0);
}
