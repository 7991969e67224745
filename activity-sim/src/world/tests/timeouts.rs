//! When a time-out closes a task, and what moves it.

use super::*;

#[test]
fn each_timeout_closes_its_task_at_its_time() {
    let span = Some(10 * SECOND);
    let none = Spans::default();
    let cases = [
        (
            Spans {
                schedule_to_start: span,
                ..none
            },
            false,
            TimeoutType::ScheduleToStart,
        ),
        (
            Spans {
                schedule_to_close: span,
                ..none
            },
            false,
            TimeoutType::ScheduleToClose,
        ),
        (
            Spans {
                schedule_to_close: span,
                ..none
            },
            true,
            TimeoutType::ScheduleToClose,
        ),
        (
            Spans {
                start_to_close: span,
                ..none
            },
            true,
            TimeoutType::StartToClose,
        ),
        (
            Spans {
                heartbeat: span,
                ..none
            },
            true,
            TimeoutType::Heartbeat,
        ),
    ];
    for (spans, start, expected) in cases {
        let mut world = world();
        let task = if start {
            started(&mut world, SECOND, spans)
        } else {
            scheduled(&mut world, SECOND, spans)
        };
        world.advance(11 * SECOND - 1);
        assert!(state(&world, task).is_open(), "{expected:?} is early");
        world.advance(20 * SECOND);
        assert_eq!(timed_out(&world, task), Some(expected));
        assert_eq!(world.record(task).expect("known").closed_ms, Some(11_000));
        assert_eq!(
            world.settle(20 * SECOND, task, completed()),
            Err(Refused::Closed)
        );
        assert_eq!(world.waiting("shop", "list"), 0);
        assert!(matches!(poll(&mut world, 20 * SECOND), Polled::Waiting(_)));
    }
}

#[test]
fn schedule_to_start_does_not_close_a_started_task() {
    let mut world = world();
    let spans = Spans {
        schedule_to_start: Some(SECOND),
        ..Spans::default()
    };
    let task = started(&mut world, 0, spans);
    world.advance(10 * SECOND);
    assert_eq!(state(&world, task), TaskState::Started);
}

#[test]
fn heartbeats_keep_a_task_alive_with_one_alarm() {
    let mut world = world();
    let spans = Spans {
        heartbeat: Some(10 * SECOND),
        ..Spans::default()
    };
    let task = started(&mut world, 0, spans);
    let heartbeat = Heartbeat {
        details: Some("on".into()),
        ..Heartbeat::default()
    };
    for second in 1..200 {
        world.advance(second * SECOND);
        assert_eq!(
            world.heartbeat(second * SECOND, task, heartbeat.clone()),
            Ok(false)
        );
    }
    world.advance(209 * SECOND - 1);
    assert_eq!(state(&world, task), TaskState::Started);
    world.advance(209 * SECOND);
    assert_eq!(timed_out(&world, task), Some(TimeoutType::Heartbeat));
    let record = world.record(task).expect("known");
    assert_eq!(
        (record.heartbeat_count, record.heartbeats.len()),
        (199, 100)
    );
    assert_eq!(record.details.as_deref(), Some("on"));
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn a_moved_timeout_closes_the_task_at_its_time_also_when_the_clock_is_late() {
    let mut world = world();
    let spans = Spans {
        heartbeat: Some(10 * SECOND),
        ..Spans::default()
    };
    let task = started(&mut world, 0, spans);
    let answer = world.heartbeat(4 * SECOND, task, Heartbeat::default());
    assert_eq!(answer, Ok(false));
    world.advance(20 * SECOND);
    assert_eq!(timed_out(&world, task), Some(TimeoutType::Heartbeat));
    let record = world.record(task).expect("known");
    assert_eq!(record.closed_ms, Some(14_000));
}

#[test]
fn a_test_times_out_only_started_tasks() {
    let mut world = world();
    let spans = Spans::default();
    let task = started(&mut world, 0, spans);
    let waiting = scheduled(&mut world, 1, spans);
    for task in [task, waiting] {
        world.time_out(SECOND, task);
    }
    assert_eq!(timed_out(&world, task), Some(TimeoutType::Heartbeat));
    assert_eq!(world.settle(2, task, completed()), Err(Refused::Closed));
    assert_eq!(timed_out(&world, waiting), None);
    assert_eq!(world.summary(None).open, 1);
}
