//! The bridge is killed at each crash point, or panics in a loop, and is started again.

use super::{
    HEARTBEAT, Hand, PAYMENTS, Toll, assert_none_parked, assert_same_messages, done, number, route,
    schedule,
};
use crate::harness::{
    Answer, BridgeProcess, Broker, File, HOLD, Inbox, Redis, Source, StepFunctions, Store, Swf,
    TaskMessage, Worker, World, all_acknowledged, eventually, unix_ms,
};
use activity_sim::TaskRecord;
use rstest::rstest;
use std::{
    collections::HashSet, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// More than there are slots, so that there are tasks at each stage, and some still with AWS.
const TASKS: u32 = 60;
const SETTINGS: &str = "max_in_flight = 40\npollers = { min = 2, max = 4 }";
/// Maximum number of open polls and of tasks that are not recorded yet, together.
const POLLS: usize = 4;
/// As the bridge bounds it: open polls and unrecorded tasks, for each poller.
const UNPERSISTED_PER_POLL: usize = 4;

/// Every third task takes a worker that says that it has begun, and is ended only after the crash.
fn is_long(task: &TaskMessage) -> bool {
    number(&task.body).is_multiple_of(3)
}

#[rstest]
#[tokio::test]
async fn a_bridge_that_is_killed_at_a_point_loses_no_task(
    #[values(
        "after-poll",
        "after-insert",
        "after-publish",
        "before-confirm",
        "after-confirm",
        "on-reply",
        "before-aws",
        "after-aws",
        "before-ack",
        "after-ack",
        "before-removal",
        "after-removal"
    )]
    point: &str,
    #[values(File, Redis)] store: Store,
) {
    killed_at(point, store, Swf, Then::StartedAgain).await;
}

/// Its workers lose their connections with it, and the tasks that they had are delivered again.
#[rstest]
#[tokio::test]
async fn a_bridge_that_is_the_broker_and_is_killed_at_a_point_loses_no_task(
    #[values(
        "after-poll",
        "after-insert",
        "after-publish",
        "after-deliver",
        "on-ack",
        "on-reply",
        "before-aws",
        "after-aws",
        "before-ack",
        "after-ack",
        "before-removal",
        "after-removal"
    )]
    point: &str,
) {
    let world = World::of_the_endpoint(HOLD).await.kept_in(File);
    killed_in(world, point, File, Swf, Then::StartedAgain).await;
}

/// In such a loop, a panic is a bug. The process ends as in a crash, and the next one goes on.
#[rstest]
#[case::replies("reply-loop:10", "the replies", File)]
#[case::replies_of_replicas("reply-loop:10", "the replies", Redis)]
#[case::reader("reader-loop:10", "the reader of replies", File)]
#[case::heartbeats("heartbeat-loop", "the heartbeats", File)]
#[case::gate("gate-loop:10", "the gate of route payments", File)]
#[case::poller("poller-loop:20", "the poller of route payments", File)]
#[case::store("store-loop:50", "the token store", File)]
#[case::lease("lease-loop:40", "the lease", Redis)]
#[case::takeover("takeover-loop:30", "the lease", Redis)]
#[tokio::test]
async fn a_loop_that_panics_ends_the_process_and_loses_no_task(
    #[case] point: &str,
    #[case] name: &str,
    #[case] store: Store,
) {
    let world = World::new().await.kept_in(store);
    dies_in(world, panics(point, name), store, Swf, Then::StartedAgain).await;
}

/// The other loops of such a bridge are those above, and the thread of its parked replies.
#[rstest]
#[case::clock("clock-loop:50", "the endpoint's clock")]
#[case::listener("listener-loop:6", "the endpoint's listener")]
#[tokio::test]
async fn a_loop_that_panics_in_a_bridge_that_is_the_broker_ends_the_process_and_loses_no_task(
    #[case] point: &str,
    #[case] name: &str,
) {
    let world = World::of_the_endpoint(HOLD).await.kept_in(File);
    dies_in(world, panics(point, name), File, Swf, Then::StartedAgain).await;
}

fn panics(point: &str, name: &str) -> Death {
    Death {
        variable: "ACTIVITY_BRIDGE_PANIC_AT",
        at: point.to_owned(),
        is: |status| status.code() == Some(1),
        line: format!("name=\"{name}\""),
    }
}

/// How a process dies.
struct Death {
    /// The variable that says where.
    variable: &'static str,
    at: String,
    is: fn(ExitStatus) -> bool,
    /// What its log then says.
    line: String,
}

/// What differs by service is on the way to AWS and back.
#[rstest]
#[tokio::test]
async fn a_bridge_that_is_killed_at_a_point_loses_no_task_of_step_functions(
    #[values("after-poll", "before-aws", "after-aws")] point: &str,
) {
    killed_at(point, File, StepFunctions, Then::StartedAgain).await;
}

/// Another process is there already, and reads replies to the killed one's tasks before the lease has run out.
#[rstest]
#[tokio::test]
async fn a_replica_that_is_killed_at_a_point_leaves_its_tasks_to_the_other(
    #[values(
        "after-insert",
        "after-publish",
        "before-aws",
        "after-aws",
        "before-removal"
    )]
    point: &str,
) {
    killed_at(point, Redis, Swf, Then::Another).await;
}

/// Who has the tasks after the crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    StartedAgain,
    Another,
}

/// Schedules tasks until the process has come to its point and was ended. The answer is how, and when.
async fn crashed(world: &World, killed: &mut BridgeProcess) -> (ExitStatus, u64) {
    let mut next = 0;
    let mut more = TASKS;
    let status = loop {
        schedule(world, next..next + more, HEARTBEAT);
        next += more;
        if let Broker::Endpoint(port) = world.broker {
            // Its listener has a turn for each connection.
            drop(TcpStream::connect(("127.0.0.1", port)).await);
        }
        // Another process may have taken most of them.
        more = TASKS / 3;
        let waited = timeout(Duration::from_secs(2), killed.ended()).await;
        match waited {
            Ok(status) => break status,
            Err(_) => assert!(next < 30 * TASKS, "it never came to its point"),
        }
    };
    (status, unix_ms())
}

/// Whether nothing is open but tasks that AWS had handed to the process that was killed, and that no worker has seen. AWS
/// times those out in its time; here it does at once, when there is no record left from which they could still be published.
fn time_out_what_is_left(world: &World, worker: &Worker, crashed: u64) -> bool {
    let seen: HashSet<_> = worker.seen().into_iter().map(|task| task.body).collect();
    let mut open = world.sim.tasks();
    open.retain(|task| task.state.is_open());
    // An answer may have been on its way at that moment.
    let was_handed_out = |task: &TaskRecord| task.started_ms.is_some_and(|at| at < crashed + 1_000);
    let is_left = |task: &TaskRecord| {
        let unseen = task
            .input
            .as_ref()
            .is_none_or(|input| !seen.contains(input));
        unseen && (task.abandoned_poll || was_handed_out(task))
    };
    let only = open.iter().all(is_left);
    if only {
        let ids = open.iter().map(|task| task.activity_id.as_str());
        world.sim.time_out(ids);
    }
    only
}

async fn killed_at(point: &str, store: Store, source: Source, then: Then) {
    let world = World::new().await.of(source).kept_in(store);
    killed_in(world, point, store, source, then).await;
}

async fn killed_in(world: World, point: &str, store: Store, source: Source, then: Then) {
    let death = Death {
        variable: "ACTIVITY_BRIDGE_CRASH_AT",
        // Not the first time, so that tasks are at other points meanwhile.
        at: format!("{point}:10"),
        is: |status| status.signal() == Some(9),
        line: "crash point".to_owned(),
    };
    let toll = dies_in(world, death, store, source, then).await;
    if point == "after-poll" {
        assert!(
            toll.lost_before_record >= 1,
            "the task that was at the point"
        );
    }
}

async fn dies_in(world: World, death: Death, store: Store, source: Source, then: Then) -> Toll {
    let worker = world
        .worker(PAYMENTS, |task| match is_long(task) {
            true => vec![Answer::of("started", "")],
            false => vec![done(task)],
        })
        .await;
    let env = [(death.variable, death.at.as_str())];
    let routes = [route(HEARTBEAT, SETTINGS)];
    let another = match then {
        Then::Another => Some(world.polling_bridge(PAYMENTS, &routes).await),
        Then::StartedAgain => None,
    };
    let mut killed = world.bridge_in(&env, "", &routes).await;
    killed.route_is(PAYMENTS, "polling").await;
    let (status, crashed) = crashed(&world, &mut killed).await;
    assert!((death.is)(status), "{status}");
    let log = killed.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(log.contains(&death.line), "{last}");

    let long = || worker.seen().into_iter().filter(is_long);
    if world.broker == Broker::RabbitMq {
        // Some replies come while nobody has their tasks.
        let hand = Hand::of(&world).await;
        hand.end(long().step_by(2)).await;
    }
    let bridge = match another {
        Some(another) => another,
        None => world.bridge(&routes).await,
    };
    bridge.ready().await;
    let hand = Hand::of(&world).await;
    eventually("the end of every task that was recorded", || async {
        hand.end(long()).await;
        let idle = bridge.metric("tasks_in_flight").await == 0.0 && world.has_no_records().await;
        (idle && time_out_what_is_left(&world, &worker, crashed)).then_some(())
    })
    .await;

    bridge.idle().await;
    let seen = worker.seen();
    let inbox = Inbox::connect(&world.amqp_uri).await;
    all_acknowledged(&world, &inbox, &seen[0].reply_to()).await;
    assert_none_parked(&inbox).await;
    assert_same_messages(&seen);
    let toll = Toll::of(&world, &seen, &[log, bridge.log()]);
    println!("{}, {source:?}, {store:?}, {then:?}: {toll:?}", death.at);
    assert!(toll.never_recorded() <= UNPERSISTED_PER_POLL * POLLS);
    toll
}
