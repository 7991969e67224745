//! The work that there is for a route's workers, as whoever scales them asks for it.

use super::client::{Client, PAYMENTS, Place, ack};
use crate::harness::{BridgeProcess, HOLD, Route, Source, World, eventually};
use activity_sim::FaultRule;
use lapin::options::BasicCancelOptions;
use serde_json::Value;

const SETTINGS: &str = "heartbeat = { discover = false }";

/// What `/scale/payments` answers: the status and the body.
async fn asked(bridge: &BridgeProcess) -> (u16, Value) {
    let (status, body) = bridge.get("/scale/payments").await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

/// Waits until so many tasks are pending and in flight. Meanwhile none is counted twice: there are at most `of_before`.
async fn becomes(bridge: &BridgeProcess, of_before: u64, pending: u64, in_flight: u64) {
    let what = format!("{pending} pending and {in_flight} in flight");
    until(bridge, of_before, &what, |now| now == (pending, in_flight)).await;
}

/// Waits until there are so many tasks. How many of them wait here depends on how fast the workers are.
async fn work_becomes(bridge: &BridgeProcess, of_before: u64, work: u64) {
    let what = format!("work: {work}");
    let is_so = |(pending, in_flight)| pending + in_flight == work;
    until(bridge, of_before, &what, is_so).await;
}

async fn until(
    bridge: &BridgeProcess,
    of_before: u64,
    what: &str,
    is_so: impl Fn((u64, u64)) -> bool,
) {
    eventually(what, || async {
        let (status, body) = asked(bridge).await;
        assert_eq!(status, 200, "{body}");
        let number = |name: &str| body[name].as_u64().expect("a number");
        assert!(number("work") <= of_before, "more than {of_before}: {body}");
        assert_eq!(
            number("work"),
            number("pending_at_aws") + number("in_flight")
        );
        is_so((number("pending_at_aws"), number("in_flight"))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_work_is_counted_once_while_workers_come_and_go_and_is_not_0_before_the_first() {
    let place = Place::with(Source::Swf, SETTINGS).await;
    let bridge = &place.bridge;
    place.world.schedule(PAYMENTS, 6);
    // Nobody consumes, so nothing is polled.
    becomes(bridge, 6, 6, 0).await;
    let mut first = place.consumer(1).await;
    let (_, mut held) = first.next().await;
    becomes(bridge, 6, 5, 1).await;
    let mut second = place.consumer(2).await;
    let (_, done) = second.next().await;
    second.next().await;
    becomes(bridge, 6, 3, 3).await;

    ack(&done).await;
    second.next().await;
    work_becomes(bridge, 6, 5).await;
    // The two tasks of a worker that is gone wait for the next one.
    let gone = second.connection.close(200, "bye".into()).await;
    gone.expect("it closes");
    work_becomes(bridge, 6, 5).await;
    for left in (0..5).rev() {
        ack(&held).await;
        if left > 0 {
            (_, held) = first.next().await;
        }
    }
    becomes(bridge, 5, 0, 0).await;
    place
        .world
        .until("all completions", |all| all.completed == 6)
        .await;

    // From zero: nobody is there, and the answer of before is too old soon.
    let gone = first.connection.close(200, "bye".into()).await;
    gone.expect("it closes");
    place.world.schedule(PAYMENTS, 2);
    // An open poll of before may bring one of them.
    work_becomes(bridge, 2, 2).await;
    assert_eq!(bridge.metric("route_work").await, 2.0);
}

/// What the worker of `deploy/keda/standalone.yaml` does on SIGTERM.
#[tokio::test]
async fn a_worker_that_is_scaled_away_finishes_its_task_and_gets_no_other() {
    let place = Place::with(Source::Swf, SETTINGS).await;
    let bridge = &place.bridge;
    place.world.schedule(PAYMENTS, 2);
    let mut worker = place.consumer(1).await;
    let (_, held) = worker.next().await;
    let stop = BasicCancelOptions::default();
    let stopped = worker.channel.basic_cancel("by-hand".into(), stop).await;
    stopped.expect("it stops to consume");
    // Its task is still work, so the last worker is not needless.
    becomes(bridge, 2, 1, 1).await;
    ack(&held).await;
    place
        .world
        .until("the completion", |all| all.completed == 1)
        .await;
    becomes(bridge, 2, 1, 0).await;
    let gone = worker.connection.close(200, "bye".into()).await;
    gone.expect("it closes");
    assert_eq!(place.world.sim.summary().polled, 1);
}

#[tokio::test]
async fn step_functions_has_no_number_so_the_work_is_unknown_and_not_0() {
    let place = Place::with(Source::StepFunctions, "").await;
    let mut worker = place.consumer(1).await;
    place.world.schedule(PAYMENTS, 2);
    let _held = worker.next().await;
    let (status, body) = asked(&place.bridge).await;
    assert_eq!((status, &body["work"]), (503, &Value::Null), "{body}");
    assert_eq!(body["unknown"], "AWS has no call that tells it");
    let (status, all) = place.bridge.get("/scale").await;
    let all: Value = serde_json::from_str(&all).expect("JSON");
    assert_eq!(status, 200, "{all}");
    assert_eq!(all["routes"][0]["in_flight"], 1, "{all}");
    let (_, metrics) = place.bridge.get("/metrics").await;
    for absent in ["tasks_pending_at_aws{", "route_work{"] {
        assert!(!metrics.contains(absent), "{metrics}");
    }
    assert_eq!(place.bridge.get("/scale/refunds").await.0, 404);
}

#[tokio::test]
async fn without_the_permission_to_count_the_bridge_works_and_says_once_what_is_missing() {
    let world = World::of_the_endpoint(HOLD).await;
    let refusal = FaultRule::error("CountPendingActivityTasks", 400, "AccessDeniedException");
    world.sim.fault(refusal);
    let routes = ["payments", "refunds"].map(|name| Route::new(name).plain_acks());
    let bridge = world.bridge(&routes).await;
    let mut worker = Client::consuming(&world.amqp_uri, 1).await;
    let id = world.schedule(PAYMENTS, 1).remove(0);
    let (_, held) = worker.next().await;
    let (status, body) = asked(&bridge).await;
    assert_eq!((status, &body["work"]), (503, &Value::Null), "{body}");
    assert_eq!(bridge.get("/scale").await.0, 200);
    assert_eq!(bridge.get("/scale").await.0, 200);
    bridge.logged("grant the permission").await;
    let said = bridge.log().matches("grant the permission").count();
    assert_eq!(said, routes.len(), "once for each route");
    ack(&held).await;
    world.closed(&id).await;
    bridge.ready().await;
}
