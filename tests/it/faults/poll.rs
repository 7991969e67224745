//! PollForActivityTask and GetActivityTask.

use super::{Fault, QUEUE, Row, list_of, seconds_between};
use crate::harness::{Answer, Source, StepFunctions, Swf, World, eventually};
use activity_sim::{Schedule, TaskRecord, TaskState, Timeouts};
use rstest::rstest;
use std::time::Duration;

/// What becomes of a route whose poll meets a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// It polls again, and each fault is counted under this label.
    Again(&'static str),
    /// It notices nothing.
    Unnoticed,
    /// One task was handed out in the answer that was lost: AWS times it out. The others are done.
    OneLost,
}

fn row(source: Source, (fault, times, end): (Fault, u64, End)) -> Row<End> {
    Row {
        source,
        action: source.poll(),
        fault,
        times,
        end,
    }
}

const COMMON: [(Fault, u64, End); 7] = [
    (
        Fault::Answer(500, "InternalFailure"),
        3,
        End::Again("unavailable"),
    ),
    (
        Fault::Answer(503, "ServiceUnavailable"),
        3,
        End::Again("unavailable"),
    ),
    (
        Fault::Answer(400, "ThrottlingException"),
        3,
        End::Again("throttled"),
    ),
    (Fault::Drop, 3, End::Again("unavailable")),
    (Fault::Reset, 3, End::Again("unavailable")),
    (Fault::LostAnswer, 1, End::OneLost),
    (Fault::Late(1_000), 1, End::Unnoticed),
];

fn table(source: Source) -> Vec<Row<End>> {
    let own: &[_] = match source {
        Swf => &["LimitExceededFault"],
        StepFunctions => &["ActivityWorkerLimitExceeded", "KmsThrottlingException"],
    };
    let throttled = |code: &&'static str| (Fault::Answer(400, code), 3, End::Again("throttled"));
    let rows = COMMON.into_iter().chain(own.iter().map(throttled));
    rows.map(|cells| row(source, cells)).collect()
}

#[rstest]
#[tokio::test]
async fn after_any_fault_on_a_poll_the_route_polls_again_and_no_task_that_was_handed_out_is_lost(
    #[values(Swf, StepFunctions)] source: Source,
    #[values(false, true)] throttled: bool,
) {
    let world = World::new().await.of(source);
    let mut table = table(source);
    table.retain(|row| row.fault.throttles() == throttled);
    for row in &table {
        world.sim.fault(row.rule());
        // The first is the one that is lost: a task list gives them in order.
        let start_to_close = (row.end == End::OneLost).then_some(Duration::from_secs(2));
        let timeouts = Timeouts {
            start_to_close,
            ..Timeouts::default()
        };
        for (count, timeouts) in [(1, timeouts), (2, Timeouts::default())] {
            world.sim.schedule(Schedule {
                count,
                timeouts,
                ..world.plain(&row.list())
            });
        }
    }
    let _worker = world.worker(QUEUE, |_| Answer::done("ok")).await;
    let routes: Vec<_> = table.iter().map(Row::route).collect();
    let bridge = world.bridge(&routes).await;

    for row in table {
        let list = row.list();
        let summary_of_row = || world.sim.summary_of(&source.list(&list));
        let closed = |_: &_| summary_of_row().closed() == 3;
        let summary = world
            .until(&format!("{row}: three closed tasks"), closed)
            .await;
        assert_eq!(summary.late_calls, 0, "{row}");
        let ended = summary_of_row();
        let lost = u64::from(row.end == End::OneLost);
        assert_eq!(
            (ended.completed, ended.timed_out, ended.abandoned),
            (3 - lost, lost, lost),
            "{row}"
        );
        let (label, expected) = match row.end {
            End::Again(label) => (label, row.times),
            End::Unnoticed => ("unavailable", 0),
            End::OneLost => ("unavailable", 1),
        };
        let series = format!("polls_total{{outcome=\"{label}\",route=\"{list}\"");
        assert_eq!(
            bridge.metric(&series).await,
            expected as f64,
            "{row}: {series}"
        );
        assert_eq!(
            bridge.route(&list).await,
            (true, "polling".to_owned()),
            "{row}"
        );
    }
    assert!(
        world.sim.faults().iter().all(|rule| rule.times == Some(0)),
        "{:?}",
        world.sim.faults()
    );
    let lost = |task: &TaskRecord| task.abandoned_poll;
    let lost: Vec<_> = world.sim.tasks().into_iter().filter(lost).collect();
    assert_eq!(lost.len(), usize::from(!throttled), "{lost:?}");
    let timed_out = |task: &TaskRecord| task.state == TaskState::TimedOut;
    assert!(lost.iter().all(timed_out), "{lost:?}");
    bridge.idle().await;
}

/// They need a person: said in the log and in `/readyz`, and retried slowly.
#[rstest]
#[case::swf(
    Swf,
    &["UnknownResourceFault", "OperationNotPermittedFault", "ValidationException"],
)]
#[case::step_functions(
    StepFunctions,
    &[
        "ActivityDoesNotExist",
        "InvalidArn",
        "KmsAccessDeniedException",
        "KmsInvalidStateException",
        "AccessDeniedException",
        "ValidationException",
    ],
)]
#[tokio::test]
async fn a_refused_poll_is_said_clearly_retried_slowly_and_recovered_from(
    #[case] source: Source,
    #[case] refused: &[&'static str],
) {
    let refusals = refused
        .iter()
        .map(|code| (Fault::Answer(400, code), 1_000, End::Unnoticed));
    let rows: Vec<_> = refusals.map(|cells| row(source, cells)).collect();
    let world = World::new().await.of(source);
    for row in &rows {
        world.sim.fault(row.rule());
        world.sim.schedule(world.plain(&row.list()));
    }
    let worker = world.worker(QUEUE, |_| Answer::done("ok")).await;
    let routes: Vec<_> = rows.iter().map(Row::route).collect();
    let bridge = world.bridge(&routes).await;

    for row in &rows {
        bridge.route_is(&row.list(), &row.fault.name()).await;
        assert!(
            !bridge.route(&row.list()).await.0,
            "{row}: ready all the same"
        );
    }
    assert_eq!(bridge.get("/readyz").await.0, 503);
    world.sim.clear_faults();
    world
        .until("all recovered", |s| s.completed == rows.len() as u64)
        .await;

    eventually("readiness", || async {
        (bridge.get("/readyz").await.0 == 200).then_some(())
    })
    .await;
    for task in worker.seen() {
        let list = list_of(&task);
        let row = rows.iter().find(|row| row.list() == list).expect("a row");
        let log = bridge.log();
        let line = |text: &str| {
            let mut lines = log
                .lines()
                .filter(|line| line.contains(&format!("route=\"{list}\"")));
            let line = lines.find(|line| line.contains(text));
            line.unwrap_or_else(|| panic!("{row}: no line {text:?} of route {list}"))
                .to_owned()
        };
        let said = line("AWS refuses to be polled for this route");
        assert!(
            said.contains(" WARN ") && said.contains(&row.fault.name()),
            "{row}: {said}"
        );
        let waited = seconds_between(&said, &line("DEBUG polled "));
        assert!(waited >= 2.5, "{row}: polled again after {waited} s");
    }
}
