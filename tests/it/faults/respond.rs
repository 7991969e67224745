//! RespondActivityTaskCompleted, RespondActivityTaskFailed and RespondActivityTaskCanceled, SendTaskSuccess and
//! SendTaskFailure.

use super::{Fault, QUEUE, Row, kind_of, list_of, reply_for, state_after};
use crate::harness::{BridgeProcess, Inbox, Source, StepFunctions, Swf, World, all_acknowledged};
use activity_sim::{Schedule, TaskRecord, TaskState};
use rstest::rstest;

/// What becomes of an outcome whose call meets a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// AWS has it after as many attempts as it took; each that failed for good is counted under this label.
    After(&'static str),
    /// AWS has it, and nothing was counted as failed.
    Unnoticed,
    /// AWS has it from the first attempt, and the second met a dead token: settled, not certain by whom.
    ByWhom,
    /// The token is dead, so the outcome is given up and never sent again.
    Gone,
    /// AWS will never take it, so it is parked, and the task is failed with the bridge's words.
    Parked,
    /// Nor will it take that failure: the task is left to time out.
    Rejected,
}

const COMMON: [(Fault, u64, End); 10] = [
    (
        Fault::Answer(500, "InternalFailure"),
        6,
        End::After("unavailable"),
    ),
    (
        Fault::Answer(503, "ServiceUnavailable"),
        6,
        End::After("unavailable"),
    ),
    (
        Fault::Answer(400, "ThrottlingException"),
        6,
        End::After("throttled"),
    ),
    (Fault::Drop, 6, End::After("unavailable")),
    (Fault::Reset, 6, End::After("unavailable")),
    (Fault::LostAnswer, 1, End::ByWhom),
    (Fault::Late(1_000), 1, End::Unnoticed),
    // Longer than the 8 s for which the bridge waits for an answer.
    (Fault::Late(14_000), 1, End::ByWhom),
    (Fault::Answer(400, "ValidationException"), 1, End::Parked),
    (Fault::Answer(413, "RequestEntityTooLarge"), 1, End::Parked),
];
const OF_SWF: [(Fault, u64, End); 2] = [
    (
        Fault::Answer(400, "LimitExceededFault"),
        6,
        End::After("throttled"),
    ),
    (Fault::Answer(400, "UnknownResourceFault"), 1, End::Gone),
];
const OF_STEP_FUNCTIONS: [(Fault, u64, End); 4] = [
    (
        Fault::Answer(400, "KmsThrottlingException"),
        6,
        End::After("throttled"),
    ),
    (Fault::Answer(400, "TaskTimedOut"), 1, End::Gone),
    (Fault::Answer(400, "TaskDoesNotExist"), 1, End::Gone),
    (Fault::Answer(400, "InvalidToken"), 1, End::Gone),
];
/// Of the action that fails a task.
const OF_FAILURE: (Fault, u64, End) = (
    Fault::Answer(400, "SerializationException"),
    2,
    End::Rejected,
);
/// Only of what must be JSON.
const OF_SUCCESS: (Fault, u64, End) = (Fault::Answer(400, "InvalidOutput"), 1, End::Parked);

/// The actions that end a task.
pub(super) fn actions(source: Source) -> &'static [&'static str] {
    match source {
        Swf => &[
            "RespondActivityTaskCompleted",
            "RespondActivityTaskFailed",
            "RespondActivityTaskCanceled",
        ],
        StepFunctions => &["SendTaskSuccess", "SendTaskFailure"],
    }
}

fn table(source: Source) -> Vec<Row<End>> {
    let row = |action, &(fault, times, end): &_| Row {
        source,
        action,
        fault,
        times,
        end,
    };
    let own: &[_] = match source {
        Swf => &OF_SWF,
        StepFunctions => &OF_STEP_FUNCTIONS,
    };
    let mut rows = Vec::new();
    for action in actions(source) {
        rows.extend(COMMON.iter().chain(own).map(|cells| row(action, cells)));
    }
    rows.push(row(actions(source)[1], &OF_FAILURE));
    if source == StepFunctions {
        rows.push(row("SendTaskSuccess", &OF_SUCCESS));
    }
    rows
}

/// A world in which each row's first task meets its fault, and a second one shows that the slot was freed.
pub(super) async fn run(rows: &[Row<End>]) -> (World, BridgeProcess, Vec<[String; 2]>) {
    let world = World::new().await.of(rows[0].source);
    let mut ids = Vec::new();
    for row in rows {
        world.sim.fault(row.rule());
        let scheduled = world.sim.schedule(Schedule {
            count: 2,
            request_cancel: kind_of(row.action) == "canceled",
            ..world.plain(&row.list())
        });
        ids.push(<[String; 2]>::try_from(scheduled).expect("two ids"));
    }
    // No heartbeat is due while this lasts, so that every call for a task is an outcome's.
    let quiet = "heartbeat = { timeout_secs = 600 }";
    let routes: Vec<_> = rows.iter().map(|row| row.route().with(quiet)).collect();
    let bridge = world.bridge(&routes).await;
    (world, bridge, ids)
}

#[rstest]
#[tokio::test]
async fn after_any_fault_on_a_respond_call_the_task_ends_as_it_must_and_the_slot_is_free(
    #[values(Swf, StepFunctions)] source: Source,
    #[values(false, true)] throttled: bool,
) {
    let mut rows = table(source);
    rows.retain(|row| row.fault.throttles() == throttled);
    let (world, bridge, ids) = run(&rows).await;
    let actions: Vec<_> = rows.iter().map(|row| (row.list(), row.action)).collect();
    let worker = world
        .worker(QUEUE, move |task| {
            let list = list_of(task);
            let found = actions.iter().find(|(known, _)| *known == list);
            let (_, action) = found.expect("a row");
            vec![reply_for(action, &format!("from {list}"))]
        })
        .await;

    let inbox = Inbox::connect(&world.amqp_uri).await;
    for (row, [first, second]) in rows.iter().zip(&ids) {
        let what = format!("{row}: the second task closed");
        world
            .until(&what, |_| {
                world
                    .sim
                    .task(second)
                    .is_some_and(|task| !task.state.is_open())
            })
            .await;
        let second = world.sim.task(second).expect("a record");
        assert_eq!(
            (second.state, second.settle_calls),
            (state_after(row.action), 1),
            "{row}: {second:?}"
        );
        check(row, &world, &bridge, first).await;
    }
    check_parked(&rows, &inbox).await;
    assert!(
        world.sim.faults().iter().all(|rule| rule.times == Some(0)),
        "{:?}",
        world.sim.faults()
    );
    bridge.idle().await;
    let reply_to = worker.seen()[0].reply_to();
    all_acknowledged(&world, &inbox, &reply_to).await;
    assert_eq!(
        worker.seen().len(),
        2 * rows.len(),
        "no task is published twice"
    );
}

/// What became of the task that met the row's fault.
async fn check(row: &Row<End>, world: &World, bridge: &BridgeProcess, first: &str) {
    let (list, kind) = (row.list(), kind_of(row.action));
    let task = world.sim.task(first).expect("a record");
    let sent_once = (task.settle_calls, task.late_calls) == (1, 0);
    let ended = |outcome| {
        format!("settlements_total{{kind=\"{kind}\",outcome=\"{outcome}\",route=\"{list}\"")
    };
    let (accepted, gone) = (ended("accepted"), ended("gone"));
    let (accepted, gone) = (bridge.metric(&accepted).await, bridge.metric(&gone).await);
    let retried = |label| format!("settle_retries_total{{kind=\"{label}\",route=\"{list}\"");
    match row.end {
        End::After(label) => {
            assert!(
                task.state == state_after(row.action) && sent_once,
                "{row}: {task:?}"
            );
            let retried = bridge.metric(&retried(label)).await;
            assert!(
                retried >= 3.0,
                "{row}: only {retried} retries of the bridge's own"
            );
            assert_eq!(gone, 0.0, "{row}");
        }
        End::Unnoticed => {
            assert!(
                task.state == state_after(row.action) && sent_once,
                "{row}: {task:?}"
            );
            let retried = bridge.metric(&retried("unavailable")).await;
            assert_eq!((gone, retried), (0.0, 0.0), "{row}");
        }
        End::ByWhom => {
            let late = |task: &TaskRecord| task.settle_calls == 2 && task.late_calls == 1;
            let limit = crate::harness::TEST_TIMEOUT;
            let task = world.sim.wait_for_task(first, limit, late).await;
            let task = task.unwrap_or_else(|error| panic!("{row}: no late call: {error}"));
            assert_eq!(
                (task.state, task.settle_calls),
                (state_after(row.action), 2),
                "{row}: {task:?}"
            );
            assert!(gone <= 1.0, "{row}: {gone} gone, {accepted} accepted");
        }
        End::Gone => {
            assert_eq!(
                (task.state, task.settle_calls),
                (TaskState::Started, 0),
                "{row}: {task:?}"
            );
            assert_eq!(gone, 1.0, "{row}");
        }
        End::Rejected => {
            assert_eq!(
                (task.state, task.settle_calls),
                (TaskState::Started, 0),
                "{row}: {task:?}"
            );
            let rejected = bridge.metric(&ended("rejected")).await;
            assert_eq!(rejected, 1.0, "{row}");
            is_said_without_its_words(row, &bridge.log());
        }
        End::Parked => {
            assert!(
                task.state == TaskState::Failed && sent_once,
                "{row}: {task:?}"
            );
            let words = row.source.words("OutcomeRefused", &task);
            let code = row.fault.name();
            let expected = format!("AWS refused it as {kind}: not valid: {code}");
            assert!(words.starts_with(&expected), "{row}: {words}");
            let failed =
                format!("settlements_total{{kind=\"failed\",outcome=\"accepted\",route=\"{list}\"");
            // The second task of a row may have failed likewise, by its worker's word.
            assert!(bridge.metric(&failed).await >= 1.0, "{row}");
            is_said_without_its_words(row, &bridge.log());
        }
    }
}

/// That AWS will not take the worker's outcome, and what the worker said is nobody's business who reads the log.
fn is_said_without_its_words(row: &Row<End>, log: &str) {
    let list = row.list();
    let mut said = log
        .lines()
        .filter(|line| line.contains("AWS will never take this outcome"));
    let said = said.find(|line| line.contains(&format!("route=\"{list}\"")));
    assert!(
        said.is_some_and(|line| line.contains(" WARN ")),
        "{row}: {said:?}"
    );
    assert!(!log.contains(&format!("from {list}")), "{row}: its words");
}

/// Of each row that ends so, one message is in the parking queue, with the worker's words and the reason.
async fn check_parked(rows: &[Row<End>], inbox: &Inbox) {
    let parked = |row: &&Row<End>| matches!(row.end, End::Parked | End::Rejected);
    let mut expected: Vec<_> = rows.iter().filter(parked).collect();
    while !expected.is_empty() {
        let parked = inbox.next("activity-bridge.parked").await;
        let row = expected.iter().position(|row| {
            let sent = format!("from {}", row.list());
            let completed = kind_of(row.action) == "completed";
            parked.body
                == if completed {
                    row.source.result(&sent)
                } else {
                    sent
                }
        });
        let row = expected.remove(row.unwrap_or_else(|| panic!("not of these rows: {parked:?}")));
        let because = parked.header("parked-because").unwrap_or_default();
        assert!(because.contains(&row.fault.name()), "{row}: {because}");
        let kind = parked.properties.kind().as_ref().map(ToString::to_string);
        assert_eq!(kind.as_deref(), Some(kind_of(row.action)), "{row}");
        let reason = parked.header("reason").unwrap_or_default();
        let words = if kind_of(row.action) == "failed" {
            "a reason"
        } else {
            ""
        };
        assert_eq!(reason, words, "{row}");
    }
    assert!(
        inbox.get("activity-bridge.parked").await.is_none(),
        "parked, and should not be"
    );
}
