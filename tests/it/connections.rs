//! The connections that the bridge opens to AWS. The simulator speaks TLS and closes idle connections, as AWS does.

use crate::harness::{Answer, DOMAIN, HOLD, Route, World, eventually, is_endpoint};
use activity_sim::{FaultRule, Options};
use std::time::Duration;

/// Maximum concurrent calls to a service, polls excluded: the same as in `rate_limit/grants.rs`.
const MAX_CALLS: u64 = 256;

/// Pollers of the route.
const POLLERS: u64 = 10;

/// Connections of other callers, and those that are being replaced because they were idle. A busy machine closes them late.
const OTHERS: u64 = 100;

#[tokio::test]
async fn a_backlog_of_results_opens_no_connection_for_each() {
    const TASKS: u32 = 1_000;
    let world = World::served_by(Options {
        hold: HOLD,
        tls: true,
        idle: Some(Duration::from_secs(5)),
        ..Options::default()
    })
    .await;
    let authority = world.dir().join("aws.pem");
    let certificate = world.sim.certificate().expect("TLS");
    std::fs::write(&authority, certificate).expect("it can be written");
    // Every result takes long, as if AWS were slow.
    let slow = Duration::from_secs(3);
    let fault = FaultRule::latency("RespondActivityTaskCompleted", slow);
    world.sim.fault(fault);
    let settings = format!("max_in_flight = {TASKS}\npollers = {{ min = 1, max = {POLLERS} }}");
    let mut route = Route::new("payments").with(&settings);
    if is_endpoint() {
        // A reply's confirm would wait for AWS.
        route = route.plain_acks();
    }
    let trusted = authority.to_str().expect("a path in UTF-8");
    let env = [("SSL_CERT_FILE", trusted)];
    let bridge = world.bridge_in(&env, "", &[route]).await;
    let _worker = world
        .worker("payments", |_| match is_endpoint() {
            true => Vec::new(),
            false => Answer::done("ok"),
        })
        .await;
    world.schedule("payments", TASKS);
    let summary = world
        .until("all tasks completed", |summary| {
            summary.completed == u64::from(TASKS)
        })
        .await;
    let most = summary.max_connections;
    let limit = MAX_CALLS + POLLERS + OTHERS;
    assert!(most <= limit, "{most} connections at once");
    assert!(most > MAX_CALLS / 2, "{most} connections: no backlog");
    eventually("the idle connections being closed", || async {
        (world.sim.summary().connections <= POLLERS + OTHERS).then_some(())
    })
    .await;
    // It goes on after that.
    world.schedule("payments", 1);
    world
        .until("one more completed", |summary| {
            summary.completed == u64::from(TASKS) + 1
        })
        .await;
    assert_eq!(world.sim.summary().timed_out, 0, "of {DOMAIN}");
    bridge.idle().await;
}
