//! Learning the timeouts of tasks from SWF.

use crate::harness::{
    Answer, BridgeProcess, DOMAIN, Inbox, PATIENCE, Route, World, eventually, unix_ms,
};
use activity_sim::{ActivityType, FaultRule, Schedule, TaskState, Timeouts};
use std::time::{Duration, Instant};

/// The bridge waits so long for an answer that tells it a timeout, and does without it then.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

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

/// Has a task polled. The headers `heartbeat-timeout-secs` and `deadline-ms` of its message must be these, the latter in
/// seconds from the poll; `None` where that took so long that the bridge may have done without an answer.
async fn told(
    world: &World,
    schedule: Schedule,
    (heartbeat, deadline): (Option<u64>, Option<u64>),
) -> Option<()> {
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let (begun, from) = (Instant::now(), unix_ms());
    let id = world.sim.schedule(schedule).remove(0);
    let task = inbox.next("payments").await;
    let polled = from..=unix_ms();
    assert_eq!(task.header("activity-id"), Some(id));
    if begun.elapsed() >= ANSWER_WITHIN {
        return None;
    }
    let header = |name| {
        task.header(name)
            .map(|text| text.parse().expect("a number"))
    };
    assert_eq!(header("heartbeat-timeout-secs"), heartbeat);
    let at: Option<u64> = header("deadline-ms");
    assert_eq!(at.is_some(), deadline.is_some(), "{at:?}");
    let of_poll = at.zip(deadline).map(|(at, secs)| at - secs * 1_000);
    assert!(
        of_poll.is_none_or(|at| polled.contains(&at)),
        "{of_poll:?} is not in {polled:?}"
    );
    Some(())
}

/// Makes an attempt with a world of its own, and another where SWF's answer may have come too late.
async fn in_time<F: Future<Output = Option<()>>>(attempt: impl Fn() -> F) {
    for _ in 0..5 {
        if attempt().await.is_some() {
            return;
        }
    }
    panic!("the machine is too slow: never within {ANSWER_WITHIN:?}");
}

#[tokio::test]
async fn the_timeouts_of_an_activity_type_are_discovered_with_one_call() {
    in_time(|| async {
        let world = world(secs(30), secs(600)).await;
        let bridge = polling(&world, route("discover = true")).await;
        for _ in 0..5 {
            told(&world, world.plain("payments"), (Some(30), Some(600))).await?;
        }
        assert_eq!(described(&world), 1);
        bridge
            .logged("learnt the timeouts of an activity type")
            .await;
        Some(())
    })
    .await;
}

/// The bridge does not know the timeout from its configuration, and keeps the task alive all the same.
#[tokio::test]
async fn a_discovered_heartbeat_timeout_is_met_without_any_setting() {
    in_time(|| async {
        let world = world(secs(9), None).await;
        let route = Route::new("payments").with("poll_without_consumers = true");
        let _bridge = polling(&world, route).await;
        told(&world, world.plain("payments"), (Some(9), None)).await?;
        let id = world.sim.tasks().remove(0).activity_id;
        let waited = |task: &activity_sim::TaskRecord| {
            let newest = task.heartbeats.back().map(|beat| beat.at_ms);
            let started = task.started_ms.unwrap_or_default();
            !task.state.is_open() || newest.is_some_and(|at| at - started > 27_000)
        };
        let record = world.sim.wait_for_task(&id, PATIENCE, waited).await;
        assert_eq!(record.expect("in time").state, TaskState::Started);
        Some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_task_was_scheduled_with_wins_where_the_route_asks_for_overrides() {
    in_time(|| async {
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
        told(&world, overridden, (Some(45), Some(900))).await?;
        // The defaults.
        told(&world, world.plain("payments"), (Some(30), Some(600))).await?;
        assert_eq!(described(&world), 0, "the history has it all");
        Some(())
    })
    .await;
}

#[tokio::test]
async fn an_outcome_is_not_given_up_at_the_deadline_of_a_type_that_the_task_may_not_have() {
    in_time(a_task_outlives_the_deadline_of_its_type).await;
}

/// The decider gave this one task longer than its type has, which nobody told the bridge.
async fn a_task_outlives_the_deadline_of_its_type() -> Option<()> {
    let world = world(None, secs(1)).await;
    let bridge = polling(&world, route("discover = true")).await;
    told(&world, world.plain("payments"), (None, Some(1))).await?;
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
    let deadline: u64 = task
        .header("deadline-ms")
        .and_then(|text| text.parse().ok())
        .expect("the type's");
    let passed = || async { (unix_ms() > deadline).then_some(()) };
    eventually("the type's deadline to pass", passed).await;
    let fault = FaultRule::error("RespondActivityTaskCompleted", 503, "ServiceUnavailable");
    world.sim.fault(fault.times(2));
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(world.closed(&id[0]).await.state, TaskState::Completed);
    assert_eq!(bridge.metric("parked_replies_total").await, 0.0);
    Some(())
}

#[tokio::test]
async fn a_missing_permission_is_said_once_and_the_routes_settings_hold() {
    in_time(a_permission_is_missing).await;
}

async fn a_permission_is_missing() -> Option<()> {
    let world = world(secs(30), secs(600)).await;
    for action in ["DescribeActivityType", "GetWorkflowExecutionHistory"] {
        let fault = FaultRule::error(action, 400, "AccessDeniedException");
        world.sim.fault(fault);
    }
    let route = route("discover_overrides = true, timeout_secs = 25");
    let bridge = polling(&world, route).await;
    for _ in 0..5 {
        told(&world, world.plain("payments"), (Some(25), None)).await?;
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
    Some(())
}

#[tokio::test]
async fn a_type_that_is_slow_to_describe_holds_no_task_up_for_long() {
    let world = world(secs(30), None).await;
    let fault = FaultRule::latency("DescribeActivityType", Duration::from_secs(90));
    world.sim.fault(fault);
    let _bridge = polling(&world, route("discover = true")).await;
    let begun = Instant::now();
    world.schedule("payments", 3);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    for _ in 0..3 {
        let task = inbox.next("payments").await;
        let unknown = ["heartbeat-timeout-secs", "deadline-ms"].map(|name| task.header(name));
        assert_eq!(unknown, [None, None]);
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(40), "{took:?}");
    assert_eq!(described(&world), 1, "one asked for all");
}
