//! Discovery: the bridge asks SWF for the timeouts of tasks.

use crate::harness::{
    Answer, BridgeProcess, DOMAIN, Inbox, Route, TEST_TIMEOUT, TaskMessage, World, eventually,
    unix_ms,
};
use activity_sim::{ActivityType, FaultRule, Schedule, TaskState, Timeouts};
use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// The question for the timeouts of a type, and the one for those of a task.
const TYPES: &str = "swf:DescribeActivityType";
const HISTORIES: &str = "swf:GetWorkflowExecutionHistory";

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

/// The message of a task, and the milliseconds in one of which the bridge polled the task.
struct Polled {
    task: TaskMessage,
    at: RangeInclusive<u64>,
}

/// The headers `heartbeat-timeout-secs` and `deadline-ms`, the latter in seconds from the poll.
type Told = (Option<u64>, Option<u64>);

impl Polled {
    /// Schedules a task and waits for its message.
    async fn of(world: &World, schedule: Schedule) -> Self {
        let inbox = Inbox::connect(&world.amqp_uri).await;
        let from = unix_ms();
        let id = world.sim.schedule(schedule).remove(0);
        let task = inbox.next("payments").await;
        assert_eq!(task.header("activity-id"), Some(id));
        Self {
            task,
            at: from..=unix_ms(),
        }
    }

    /// A number in a header.
    fn number(&self, header: &str) -> Option<u64> {
        let text = self.task.header(header);
        text.map(|text| text.parse().expect("a number"))
    }

    /// Whether it says nothing of timeouts.
    fn says_nothing(&self) -> bool {
        let headers = ["heartbeat-timeout-secs", "deadline-ms"];
        headers.iter().all(|name| self.number(name).is_none())
    }

    /// Asserts what it says.
    fn says(&self, (heartbeat, deadline): Told) {
        assert_eq!(self.number("heartbeat-timeout-secs"), heartbeat);
        let at = self.number("deadline-ms");
        assert_eq!(at.is_some(), deadline.is_some(), "{at:?}");
        let of_poll = at.zip(deadline).map(|(at, secs)| at - secs * 1_000);
        assert!(
            of_poll.is_none_or(|at| self.at.contains(&at)),
            "{of_poll:?} is not in {:?}",
            self.at
        );
    }
}

/// How many times the bridge asked in vain, but for the first refusal.
fn missed_answers(bridge: &BridgeProcess, question: &str) -> u64 {
    let log = bridge.log();
    let missed = |line: &&str| {
        line.contains("could not learn a timeout from AWS") && line.contains(question)
    };
    log.lines().filter(missed).count() as u64
}

/// Has plain tasks polled until the bridge has learnt the timeouts of their type. The message of the first task tells them
/// already, unless the answer to the bridge came too late, which the log says.
async fn learnt(world: &World, bridge: &BridgeProcess, expected: Told) {
    eventually("an answer that comes in time", || async {
        let polled = Polled::of(world, world.plain("payments")).await;
        if polled.says_nothing() && missed_answers(bridge, TYPES) > 0 {
            return None;
        }
        polled.says(expected);
        Some(())
    })
    .await;
    bridge
        .logged("learnt the timeouts of an activity type")
        .await;
}

/// Has a task polled, and asserts what its message says. Another one follows only where the bridge had the answer too late, which
/// the log says.
async fn told(world: &World, bridge: &BridgeProcess, schedule: &Schedule, expected: Told) {
    loop {
        let before = missed_answers(bridge, HISTORIES);
        let polled = Polled::of(world, schedule.clone()).await;
        if polled.number("heartbeat-timeout-secs") == expected.0 {
            return polled.says(expected);
        }
        eventually("a line about the answer that was too late", || async {
            (missed_answers(bridge, HISTORIES) > before).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_timeouts_of_an_activity_type_are_discovered_with_one_call() {
    let world = world(secs(30), secs(600)).await;
    let bridge = polling(&world, route("discover = true")).await;
    let expected = (Some(30), Some(600));
    learnt(&world, &bridge, expected).await;
    for _ in 0..5 {
        let polled = Polled::of(&world, world.plain("payments")).await;
        polled.says(expected);
    }
    let calls = described(&world);
    assert!(
        (1..=1 + missed_answers(&bridge, TYPES)).contains(&calls),
        "{calls} calls"
    );
}

/// The bridge does not know the timeout from its configuration, and keeps the task alive all the same.
#[tokio::test]
async fn a_discovered_heartbeat_timeout_is_met_without_any_setting() {
    let world = world(secs(9), None).await;
    let route = Route::new("payments").with("poll_without_consumers = true");
    let bridge = polling(&world, route).await;
    learnt(&world, &bridge, (Some(9), None)).await;
    let polled = Polled::of(&world, world.plain("payments")).await;
    polled.says((Some(9), None));
    let id = polled.task.header("activity-id").expect("an id");
    let waited = |task: &activity_sim::TaskRecord| {
        let newest = task.heartbeats.back().map(|beat| beat.at_ms);
        let started = task.started_ms.unwrap_or_default();
        !task.state.is_open() || newest.is_some_and(|at| at - started > 12_000)
    };
    let record = world.sim.wait_for_task(&id, TEST_TIMEOUT, waited).await;
    assert_eq!(record.expect("in time").state, TaskState::Started);
}

#[tokio::test]
async fn what_a_task_was_scheduled_with_wins_where_the_route_asks_for_overrides() {
    let world = world(secs(30), secs(600)).await;
    let bridge = polling(&world, route("discover_overrides = true")).await;
    let timeouts = Timeouts {
        heartbeat: secs(45),
        start_to_close: secs(900),
        ..Timeouts::default()
    };
    let plain = world.plain("payments");
    let overridden = Schedule {
        timeouts,
        ..plain.clone()
    };
    told(&world, &bridge, &overridden, (Some(45), Some(900))).await;
    // The defaults.
    told(&world, &bridge, &plain, (Some(30), Some(600))).await;
    // The type is asked for where the history was too late.
    eventually("no more such questions than late answers", || async {
        let late = missed_answers(&bridge, HISTORIES);
        (described(&world) <= late).then_some(())
    })
    .await;
}

/// The decider gave this one task longer than its type has, which nobody told the bridge.
#[tokio::test]
async fn an_outcome_is_not_given_up_at_the_deadline_of_a_type_that_the_task_may_not_have() {
    let world = world(None, secs(1)).await;
    let bridge = polling(&world, route("discover = true")).await;
    learnt(&world, &bridge, (None, Some(1))).await;
    let timeouts = Timeouts {
        start_to_close: secs(600),
        ..Timeouts::default()
    };
    let schedule = Schedule {
        timeouts,
        ..world.plain("payments")
    };
    let polled = Polled::of(&world, schedule).await;
    let deadline = polled.number("deadline-ms").expect("the type's");
    let passed = || async { (unix_ms() > deadline).then_some(()) };
    eventually("the type's deadline to pass", passed).await;
    let fault = FaultRule::error("RespondActivityTaskCompleted", 503, "ServiceUnavailable");
    world.sim.fault(fault.times(2));
    let inbox = Inbox::connect(&world.amqp_uri).await;
    inbox
        .reply(&polled.task, Answer::done("ok").remove(0))
        .await;
    let id = polled.task.header("activity-id").expect("an id");
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    assert_eq!(bridge.metric("parked_replies_total").await, 0.0);
}

#[tokio::test]
async fn a_missing_permission_is_said_once_and_the_routes_settings_hold() {
    const PERMISSIONS: [&str; 2] = [
        "swf:DescribeActivityType",
        "swf:GetWorkflowExecutionHistory",
    ];
    let world = world(secs(30), secs(600)).await;
    for action in ["DescribeActivityType", "GetWorkflowExecutionHistory"] {
        let fault = FaultRule::error(action, 400, "AccessDeniedException");
        world.sim.fault(fault);
    }
    let route = route("discover_overrides = true, timeout_secs = 25");
    let bridge = polling(&world, route).await;
    let says_so = async || {
        let polled = Polled::of(&world, world.plain("payments")).await;
        polled.says((Some(25), None));
        let log = bridge.log();
        PERMISSIONS.map(|permission| {
            let said = |line: &&str| line.contains("can't learn") && line.contains(permission);
            log.lines().filter(said).count()
        })
    };
    eventually("both being said", || async {
        says_so().await.iter().all(|said| *said > 0).then_some(())
    })
    .await;
    for _ in 0..5 {
        assert_eq!(says_so().await, [1, 1], "{}", bridge.log());
    }
    let calls = described(&world);
    assert!(
        (1..=1 + missed_answers(&bridge, TYPES)).contains(&calls),
        "asked {calls} times"
    );
}

/// The answer takes longer than a message is waited for here.
#[tokio::test]
async fn a_type_that_is_slow_to_describe_holds_no_task_up_for_long() {
    let world = world(secs(30), None).await;
    let fault = FaultRule::latency("DescribeActivityType", 2 * TEST_TIMEOUT);
    world.sim.fault(fault);
    let bridge = polling(&world, route("discover = true")).await;
    world.schedule("payments", 3);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    for _ in 0..3 {
        let task = inbox.next("payments").await;
        let unknown = ["heartbeat-timeout-secs", "deadline-ms"].map(|name| task.header(name));
        assert_eq!(unknown, [None, None]);
    }
    // One asks for all, and the next one after 5 s at the earliest.
    let polled = world.sim.tasks().into_iter();
    let first = polled.filter_map(|task| task.started_ms).min();
    let later = (unix_ms() - first.expect("polled")) / 5_000;
    let asked = missed_answers(&bridge, TYPES);
    assert!((1..=1 + later).contains(&asked), "{asked} asked");
}

/// With 10 calls a minute, most of these tasks would never have heartbeats that fit their timeouts.
#[tokio::test]
async fn the_timeouts_of_thirty_new_types_are_learnt_also_for_tasks_that_were_published_before() {
    let world = World::new().await;
    let bridge = polling(&world, route("discover = true")).await;
    let types: Vec<_> = (0..30)
        .map(|n| ActivityType::new(format!("type {n}"), "1"))
        .collect();
    for activity_type in &types {
        let defaults = Timeouts {
            heartbeat: secs(30),
            ..Timeouts::default()
        };
        world
            .sim
            .register_activity_type(DOMAIN, activity_type.clone(), defaults);
        world.sim.schedule(Schedule {
            activity_type: activity_type.clone(),
            ..world.plain("payments")
        });
    }
    let begun = Instant::now();
    eventually("the timeouts of all types", || async {
        let log = bridge.log();
        let learnt = |line: &&str| line.contains("learnt the timeouts of an activity type");
        (log.lines().filter(learnt).count() == types.len()).then_some(())
    })
    .await;
    // At 10 a minute, as it once was, they would take three.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(120), "{took:?}");
    let calls = described(&world);
    assert!(
        calls <= 30 + missed_answers(&bridge, TYPES),
        "{calls} calls"
    );
}
