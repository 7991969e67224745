//! Executions of Step Functions: attempts, retries, stops.

use std::time::Duration;

use crate::{
    clock::{Micros, millis},
    model::{ActivityType, Retry, STATES},
    record::{ExecutionRecord, ExecutionStatus, TaskState},
    world::{
        CancelOutcome, ExecutionNo, Heartbeat, NewTask, Outcome, Polled, Refused, Rules, TaskNo,
        World, task::Spans,
    },
};

const SECOND: Micros = 1_000_000;
const ARN: &str = "arn:aws:states:eu-west-1:123456789012:activity:charge";

fn world() -> World {
    World::new(Rules {
        hold: 60 * SECOND,
        max_open_polls: 3,
        label: 7,
    })
}

/// TimeoutSeconds 10, HeartbeatSeconds 3.
fn new_task() -> NewTask {
    NewTask {
        activity_type: ActivityType::new("charge", "").into(),
        input: Some("{}".into()),
        spans: Spans {
            start_to_close: Some(10 * SECOND),
            heartbeat: Some(3 * SECOND),
            ..Spans::default()
        },
        request_cancel: false,
    }
}

fn start(world: &mut World, retry: Option<Retry>) -> TaskNo {
    let queue = world.queue(STATES, ARN);
    world.start_execution(0, queue, new_task(), retry)
}

fn retry(max_attempts: u32) -> Option<Retry> {
    let interval = Duration::from_secs(5);
    Some(Retry {
        max_attempts,
        interval,
    })
}

fn take(world: &mut World, now: Micros) -> TaskNo {
    let queue = world.queue(STATES, ARN);
    world.advance(now);
    match world.poll(now, queue, None) {
        Polled::Task(handout) => handout.task,
        other => panic!("{other:?}"),
    }
}

fn failed() -> Outcome {
    Outcome::Failed {
        reason: Some("NoStock".into()),
        details: Some("shelf 3".into()),
    }
}

fn record(world: &World) -> ExecutionRecord {
    world.execution_record(ExecutionNo(0)).expect("the first")
}

fn status(world: &World) -> ExecutionStatus {
    record(world).status
}

#[test]
fn time_outs_count_from_the_hand_out() {
    for (beats, due, error) in [
        (false, 3, "States.HeartbeatTimeout"),
        (true, 10, "States.Timeout"),
    ] {
        let mut world = world();
        start(&mut world, None);
        world.advance(1_000 * SECOND);
        assert_eq!(
            status(&world),
            ExecutionStatus::Running,
            "it waits without a limit"
        );
        let handed_out = 1_000 * SECOND;
        let task = take(&mut world, handed_out);
        for second in (1..10).filter(|_| beats) {
            let now = handed_out + second * SECOND;
            world.advance(now);
            assert_eq!(world.heartbeat(now, task, Heartbeat::default()), Ok(false));
        }
        let end = handed_out + due * SECOND;
        world.advance(end - 1);
        assert_eq!(status(&world), ExecutionStatus::Running);
        world.advance(end);
        let record = record(&world);
        assert_eq!(record.status, ExecutionStatus::TimedOut);
        assert_eq!(record.error.as_deref(), Some(error));
        assert_eq!(record.stopped_ms, Some(millis(end)));
        assert_eq!(world.settle(end, task, failed()), Err(Refused::Closed));
    }
}

#[test]
fn an_activity_is_retried_after_the_interval() {
    let mut world = world();
    let first = start(&mut world, retry(2));
    assert_eq!(take(&mut world, 0), first);
    assert_eq!(world.settle(SECOND, first, failed()), Ok(()));
    world.advance(6 * SECOND - 1);
    assert_eq!(world.waiting(STATES, ARN), 0);
    assert_eq!(status(&world), ExecutionStatus::Running);
    // The second attempt times out.
    let second = take(&mut world, 6 * SECOND);
    world.advance(9 * SECOND);
    assert_eq!(status(&world), ExecutionStatus::Running);
    let third = take(&mut world, 14 * SECOND);
    assert_eq!(world.settle(15 * SECOND, third, failed()), Ok(()));
    let ended = record(&world);
    assert_eq!(ended.status, ExecutionStatus::Failed);
    assert_eq!(ended.error.as_deref(), Some("NoStock"));
    assert_eq!(ended.cause.as_deref(), Some("shelf 3"));
    assert_eq!(
        ended.attempts,
        [first, second, third].map(|no| world.activity_id(no))
    );
    world.advance(1_000 * SECOND);
    assert_eq!(world.waiting(STATES, ARN), 0);
    let runs = [first, third].map(|no| world.record(no).expect("known").run_id);
    assert!(runs.iter().all(|run| *run == ended.arn), "{runs:?}");
}

#[test]
fn a_success_ends_the_execution() {
    let mut world = world();
    let task = start(&mut world, retry(2));
    take(&mut world, 0);
    let result = Some("3".to_owned());
    assert_eq!(world.settle(1, task, Outcome::Completed { result }), Ok(()));
    world.advance(1_000 * SECOND);
    let record = record(&world);
    assert_eq!(record.status, ExecutionStatus::Succeeded);
    assert_eq!(
        (record.output.as_deref(), record.attempts.len()),
        (Some("3"), 1)
    );
}

#[test]
fn a_stop_ends_an_execution_in_every_stage() {
    // Waiting, handed out, and between two attempts.
    for stage in 0..3 {
        let mut world = world();
        let task = start(&mut world, retry(2));
        if stage > 0 {
            take(&mut world, 0);
        }
        if stage > 1 {
            assert_eq!(world.settle(1, task, failed()), Ok(()));
        }
        assert_eq!(world.request_cancel(2, task), CancelOutcome::Canceled);
        assert_eq!(world.waiting(STATES, ARN), 0);
        let state = world.record(task).expect("known").state;
        let expected = if stage > 1 {
            TaskState::Failed
        } else {
            TaskState::Canceled
        };
        assert_eq!(state, expected);
        assert_eq!(world.settle(3, task, failed()), Err(Refused::Closed));
        world.advance(1_000 * SECOND);
        assert_eq!(status(&world), ExecutionStatus::Aborted);
        assert_eq!(record(&world).attempts.len(), 1);
        assert_eq!(world.request_cancel(4, task), CancelOutcome::Closed);
    }
}

#[test]
fn a_second_stop_changes_nothing() {
    let mut world = world();
    let task = start(&mut world, None);
    assert_eq!(world.request_cancel(5_000, task), CancelOutcome::Canceled);
    assert_eq!(world.request_cancel(9_000, task), CancelOutcome::Closed);
    assert_eq!(record(&world).stopped_ms, Some(5));
}

#[test]
fn a_reset_removes_executions() {
    let mut world = world();
    let queue = world.queue("shop", "list");
    let workflow = world.execution("shop", None);
    world.schedule(0, queue, workflow, new_task());
    assert_eq!(world.execution_record(workflow), None, "it is one of SWF");
    let task = start(&mut world, retry(1));
    let execution = world.execution_record(ExecutionNo(1)).expect("the second");
    take(&mut world, 0);
    assert_eq!(world.settle(1, task, failed()), Ok(()));
    world.reset();
    assert_eq!(world.execution_places(), 0..0);
    world.advance(1_000 * SECOND);
    assert_eq!(world.summary(None).scheduled, 0, "there are no retries");
    start(&mut world, None);
    assert_ne!(record(&world).arn, execution.arn);
}
