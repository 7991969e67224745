//! The state machine without a server. Each test gives the time.

mod step_functions;
mod timeouts;

use crate::{
    clock::Micros,
    model::ActivityType,
    record::{TaskState, TimeoutType},
    world::{
        CancelOutcome, Heartbeat, NewTask, Outcome, Polled, Refused, Rules, TaskNo, World,
        task::Spans,
    },
};

const SECOND: Micros = 1_000_000;

fn world() -> World {
    World::new(Rules {
        hold: 60 * SECOND,
        max_open_polls: 3,
        label: 7,
    })
}

fn new_task(spans: Spans) -> NewTask {
    NewTask {
        activity_type: ActivityType::default().into(),
        input: None,
        spans,
        request_cancel: false,
    }
}

fn scheduled(world: &mut World, now: Micros, spans: Spans) -> TaskNo {
    let queue = world.queue("shop", "list");
    let execution = world.execution("shop", None);
    world.advance(now);
    world.schedule(now, queue, execution, new_task(spans))
}

fn poll(world: &mut World, now: Micros) -> Polled {
    let queue = world.queue("shop", "list");
    world.advance(now);
    world.poll(now, queue, None)
}

fn started(world: &mut World, now: Micros, spans: Spans) -> TaskNo {
    let task = scheduled(world, now, spans);
    assert!(matches!(poll(world, now), Polled::Task(handout) if handout.task == task));
    task
}

fn state(world: &World, task: TaskNo) -> TaskState {
    world.record(task).expect("the task is known").state
}

fn timed_out(world: &World, task: TaskNo) -> Option<TimeoutType> {
    world.record(task).expect("the task is known").timeout_type
}

fn completed() -> Outcome {
    Outcome::Completed {
        result: Some("done".into()),
    }
}

#[test]
fn tasks_are_handed_out_in_order() {
    let mut world = world();
    let tasks: Vec<_> = (0..3)
        .map(|_| scheduled(&mut world, 0, Spans::default()))
        .collect();
    for expected in tasks {
        assert!(matches!(poll(&mut world, 1), Polled::Task(handout) if handout.task == expected));
    }
    assert!(matches!(poll(&mut world, 1), Polled::Waiting(_)));
}

#[test]
fn held_polls_are_served_in_order() {
    let mut world = world();
    let (Polled::Waiting(first), Polled::Waiting(second)) =
        (poll(&mut world, 0), poll(&mut world, 1))
    else {
        panic!("both polls are held")
    };
    let one = scheduled(&mut world, 2, Spans::default());
    let two = scheduled(&mut world, 2, Spans::default());
    let answers: Vec<_> = world
        .take_answers()
        .into_iter()
        .map(|(poll, handout)| (poll, handout.expect("a task").task))
        .collect();
    assert_eq!(answers, [(first, one), (second, two)]);
    assert_eq!(world.summary(None).open_polls, 0);
    assert_eq!(world.summary(None).max_open_polls, 2);
}

#[test]
fn a_poll_ends_empty_when_its_hold_is_over() {
    let mut world = world();
    let Polled::Waiting(held) = poll(&mut world, 0) else {
        panic!("held")
    };
    world.advance(60 * SECOND - 1);
    assert!(world.take_answers().is_empty());
    assert_eq!(world.next_deadline(), Some(60 * SECOND));
    world.advance(60 * SECOND);
    assert!(matches!(world.take_answers()[..], [(poll, None)] if poll == held));
    assert_eq!(
        (
            world.summary(None).open_polls,
            world.summary(None).empty_polls
        ),
        (0, 1)
    );
    let task = scheduled(&mut world, 61 * SECOND, Spans::default());
    assert_eq!(state(&world, task), TaskState::Scheduled);
}

#[test]
fn polls_above_the_maximum_are_refused_until_one_ends() {
    let mut world = world();
    for _ in 0..3 {
        assert!(matches!(poll(&mut world, 0), Polled::Waiting(_)));
    }
    assert!(matches!(poll(&mut world, 0), Polled::TooMany));
    assert!(matches!(poll(&mut world, 60 * SECOND), Polled::Waiting(_)));
}

#[test]
fn a_settled_task_refuses_all_further_calls() {
    let mut world = world();
    let task = started(&mut world, 0, Spans::default());
    assert_eq!(world.settle(1, task, completed()), Ok(()));
    assert_eq!(world.settle(2, task, completed()), Err(Refused::Closed));
    assert_eq!(
        world.heartbeat(2, task, Heartbeat::default()),
        Err(Refused::Closed)
    );
    let record = world.record(task).expect("known");
    assert_eq!((record.settle_calls, record.late_calls), (2, 2));
    assert_eq!(record.result.as_deref(), Some("done"));
    assert_eq!(world.summary(None).late_calls, 2);
}

#[test]
fn a_worker_cancels_only_after_a_request() {
    let mut world = world();
    let task = started(&mut world, 0, Spans::default());
    let canceled = || Outcome::Canceled { details: None };
    assert_eq!(
        world.settle(1, task, canceled()),
        Err(Refused::CancelNotRequested)
    );
    assert_eq!(state(&world, task), TaskState::Started);
    assert_eq!(world.request_cancel(2, task), CancelOutcome::Requested);
    assert_eq!(world.heartbeat(3, task, Heartbeat::default()), Ok(true));
    assert_eq!(world.settle(4, task, canceled()), Ok(()));
    assert_eq!(state(&world, task), TaskState::Canceled);
    assert_eq!(world.request_cancel(5, task), CancelOutcome::Closed);
}

#[test]
fn a_task_without_a_worker_is_canceled_at_once() {
    let mut world = world();
    let task = scheduled(&mut world, 0, Spans::default());
    assert_eq!(world.request_cancel(1, task), CancelOutcome::Canceled);
    assert_eq!(state(&world, task), TaskState::Canceled);
    assert_eq!(world.waiting("shop", "list"), 0);
    assert!(matches!(poll(&mut world, 2), Polled::Waiting(_)));
    assert_eq!(world.request_cancel(2, TaskNo(99)), CancelOutcome::Unknown);
}

#[test]
fn tasks_of_one_workflow_id_share_the_run() {
    let mut world = world();
    let queue = world.queue("shop", "list");
    let runs: Vec<_> = [Some("order"), Some("order"), None, None]
        .map(|id| {
            let execution = world.execution("shop", id);
            let task = world.schedule(0, queue, execution, new_task(Spans::default()));
            world.record(task).expect("known").run_id
        })
        .into();
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[1], runs[2]);
    assert_ne!(runs[2], runs[3]);
    assert!(runs.iter().all(|run| run.len() <= 64));
}

#[test]
fn started_event_ids_grow_within_an_execution() {
    let mut world = world();
    let queue = world.queue("shop", "list");
    let execution = world.execution("shop", Some("order"));
    let mut last = 0;
    for _ in 0..3 {
        world.schedule(0, queue, execution, new_task(Spans::default()));
        let Polled::Task(handout) = poll(&mut world, 0) else {
            panic!("a task")
        };
        assert!(handout.started_event > last);
        last = handout.started_event;
    }
}

#[test]
fn a_reset_removes_tasks_and_keeps_polls() {
    let mut world = world();
    let spans = Spans {
        start_to_close: Some(SECOND),
        ..Spans::default()
    };
    let old = started(&mut world, 0, spans);
    assert!(matches!(poll(&mut world, 0), Polled::Waiting(_)));
    world.reset();
    assert_eq!(world.settle(1, old, completed()), Err(Refused::Unknown));
    assert_eq!(world.summary(None).scheduled, 0);
    assert_eq!(world.summary(None).open_polls, 1);
    let new = scheduled(&mut world, 2, Spans::default());
    assert_ne!(new, old);
    assert_eq!(world.take_answers().len(), 1);
    assert_eq!(world.task_of(&world.activity_id(new)), Some(new));
}

#[test]
fn an_abandoned_task_is_counted_once() {
    let mut world = world();
    let task = started(&mut world, 0, Spans::default());
    world.abandon(task);
    world.abandon(task);
    assert_eq!(world.summary(Some("list")).abandoned, 1);
    assert_eq!(world.summary(Some("other")).abandoned, 0);
    assert!(world.record(task).expect("known").abandoned_poll);
}

#[test]
fn a_hundred_thousand_tasks_time_out() {
    let mut world = world();
    let spans = Spans {
        heartbeat: Some(30 * SECOND),
        start_to_close: Some(300 * SECOND),
        ..Spans::default()
    };
    for no in 0..100_000 {
        scheduled(&mut world, no, spans);
    }
    for no in 100_000..200_000 {
        assert!(matches!(poll(&mut world, no), Polled::Task(_)));
    }
    world.advance(1_000 * SECOND);
    assert_eq!(world.summary(None).timed_out, 100_000);
}
