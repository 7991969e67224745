//! Learning the timeouts of tasks from SWF.

use crate::harness::{Answer, BridgeProcess, DOMAIN, Inbox, Route, World, eventually};
use activity_sim::{ActivityType, FaultRule, Schedule, TaskState, Timeouts};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn secs(secs: u64) -> Option<Duration> {
    Some(Duration::from_secs(secs))
}

/// With an activity type whose tasks have these timeouts unless they are scheduled with others.
async fn world(heartbeat: Option<Duration>, start_to_close: Option<Duration>) -> World {
    let world = World::new().await;
    let defaults = Timeouts {
        heartbeat,
        start_to_close,
        ..Timeouts::default()
    };
    world
        .sim
        .register_activity_type(DOMAIN, ActivityType::default(), defaults);
    world
}

/// A bridge with this one route, which has declared its queue.
async fn polling(world: &World, route: Route) -> BridgeProcess {
    let bridge = world.bridge(&[route]).await;
    bridge.route_is("payments", "polling").await;
    bridge
}

fn described(world: &World) -> u64 {
    let calls = world.sim.summary().calls;
    calls
        .get("DescribeActivityType")
        .map_or(0, |calls| calls.ok + calls.errors.values().sum::<u64>())
}

fn route(heartbeat: &str) -> Route {
    let settings = format!("poll_without_consumers = true\nheartbeat = {{ {heartbeat} }}");
    Route::new("payments").with(&settings)
}

/// The headers `heartbeat-timeout-secs` and `deadline-ms`, the latter as seconds from the poll.
async fn told(world: &World, schedule: Schedule) -> (Option<String>, Option<u64>) {
    let id = world.sim.schedule(schedule).remove(0);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let task = inbox.next("payments").await;
    let record = world.sim.task(&id).expect("a record");
    assert_eq!(task.header("activity-id"), Some(id));
    let started = record.started_ms.expect("started");
    let deadline = task.header("deadline-ms").map(|text| {
        let at: u64 = text.parse().expect("a number");
        (at - started + 500) / 1_000
    });
    (task.header("heartbeat-timeout-secs"), deadline)
}

#[tokio::test]
async fn the_timeouts_of_an_activity_type_are_discovered_with_one_call() {
    let world = world(secs(30), secs(600)).await;
    let bridge = polling(&world, route("discover = true")).await;
    for _ in 0..5 {
        let found = told(&world, world.plain("payments")).await;
        assert_eq!(found, (Some("30".to_owned()), Some(600)));
    }
    assert_eq!(described(&world), 1);
    bridge
        .logged("learnt the timeouts of an activity type")
        .await;
}

/// The bridge does not know the timeout from its configuration, and keeps the task alive all the same.
#[tokio::test]
async fn a_discovered_heartbeat_timeout_is_met_without_any_setting() {
    let world = world(secs(2), None).await;
    let route = Route::new("payments").with("poll_without_consumers = true");
    let _bridge = polling(&world, route).await;
    let id = world.schedule("payments", 1).remove(0);
    let waited = |task: &activity_sim::TaskRecord| {
        let newest = task.heartbeats.back().map(|beat| beat.at_ms);
        let started = task.started_ms.unwrap_or_default();
        !task.state.is_open() || newest.is_some_and(|at| at - started > 6_000)
    };
    let patience = crate::harness::PATIENCE;
    let record = world.sim.wait_for_task(&id, patience, waited).await;
    assert_eq!(record.expect("in time").state, TaskState::Started);
}

#[tokio::test]
async fn what_a_task_was_scheduled_with_wins_where_the_route_asks_for_overrides() {
    let world = world(secs(30), secs(600)).await;
    let _bridge = polling(&world, route("discover_overrides = true")).await;
    let timeouts = Timeouts {
        heartbeat: secs(45),
        start_to_close: secs(900),
        ..Timeouts::default()
    };
    let overridden = Schedule {
        timeouts,
        ..world.plain("payments")
    };
    let found = told(&world, overridden).await;
    assert_eq!(found, (Some("45".to_owned()), Some(900)));
    let found = told(&world, world.plain("payments")).await;
    assert_eq!(found, (Some("30".to_owned()), Some(600)), "the defaults");
    assert_eq!(described(&world), 0, "the history has it all");
}

/// The decider gave this one task longer than its type has, which nobody told the bridge.
#[tokio::test]
async fn an_outcome_is_not_given_up_at_the_deadline_of_a_type_that_the_task_may_not_have() {
    let world = world(None, secs(1)).await;
    let bridge = polling(&world, route("discover = true")).await;
    let timeouts = Timeouts {
        start_to_close: secs(600),
        ..Timeouts::default()
    };
    let id = world.sim.schedule(Schedule {
        timeouts,
        ..world.plain("payments")
    });
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let task = inbox.next("payments").await;
    let deadline: u128 = task
        .header("deadline-ms")
        .and_then(|text| text.parse().ok())
        .expect("the type's");
    let passed = || async {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        (now.expect("after 1970").as_millis() > deadline).then_some(())
    };
    eventually("the type's deadline to pass", passed).await;
    let fault = FaultRule::error("RespondActivityTaskCompleted", 503, "ServiceUnavailable");
    world.sim.fault(fault.times(2));
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(world.closed(&id[0]).await.state, TaskState::Completed);
    assert_eq!(bridge.metric("parked_replies_total").await, 0.0);
}

#[tokio::test]
async fn a_missing_permission_is_said_once_and_the_routes_settings_hold() {
    let world = world(secs(30), secs(600)).await;
    for action in ["DescribeActivityType", "GetWorkflowExecutionHistory"] {
        let fault = FaultRule::error(action, 400, "AccessDeniedException");
        world.sim.fault(fault);
    }
    let route = route("discover_overrides = true, timeout_secs = 25");
    let bridge = polling(&world, route).await;
    for _ in 0..5 {
        let found = told(&world, world.plain("payments")).await;
        assert_eq!(found, (Some("25".to_owned()), None));
    }
    let log = bridge.log();
    for permission in [
        "swf:DescribeActivityType",
        "swf:GetWorkflowExecutionHistory",
    ] {
        let said = |line: &&str| line.contains("can't learn") && line.contains(permission);
        let said = log.lines().filter(said);
        assert_eq!(said.count(), 1, "{permission} in\n{log}");
    }
    assert_eq!(described(&world), 1, "not asked again for each task");
}

#[tokio::test]
async fn a_type_that_is_slow_to_describe_holds_no_task_up_for_long() {
    let world = world(secs(30), None).await;
    let fault = FaultRule::latency("DescribeActivityType", Duration::from_secs(30));
    world.sim.fault(fault);
    let _bridge = polling(&world, route("discover = true")).await;
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(told(&world, world.plain("payments")).await, (None, None));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(described(&world), 1, "one asked for all");
}
