//! The four time-outs close their tasks at their time. The tests of `world` cover their combinations.

use std::time::Duration;

use activity_sim::{ActivityType, Schedule, TaskState, TimeoutType, Timeouts};

use crate::client::{Client, SOON, sim};

const SHORT: Option<Duration> = Some(Duration::from_millis(200));

#[tokio::test]
async fn each_timeout_closes_its_task() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let none = Timeouts::default();
    let cases = [
        (
            Timeouts {
                schedule_to_start: SHORT,
                ..none
            },
            false,
            TimeoutType::ScheduleToStart,
        ),
        (
            Timeouts {
                schedule_to_close: SHORT,
                ..none
            },
            false,
            TimeoutType::ScheduleToClose,
        ),
        (
            Timeouts {
                start_to_close: SHORT,
                ..none
            },
            true,
            TimeoutType::StartToClose,
        ),
        (
            Timeouts {
                heartbeat: SHORT,
                ..none
            },
            true,
            TimeoutType::Heartbeat,
        ),
    ];
    for (timeouts, start, expected) in cases {
        let list = format!("{expected:?}");
        let ids = sim.schedule(Schedule {
            timeouts,
            ..Schedule::new("shop", &list)
        });
        let token = if start {
            Some(client.take(&list).await)
        } else {
            None
        };
        let closed = sim
            .wait_for_task(&ids[0], SOON, |task| !task.state.is_open())
            .await
            .unwrap();
        assert_eq!(closed.timeout_type, Some(expected));
        assert_eq!(closed.state, TaskState::TimedOut);
        let since = if start {
            closed.started_ms.unwrap()
        } else {
            closed.scheduled_ms
        };
        let took = closed.closed_ms.unwrap() - since;
        assert!((199..=201).contains(&took), "{expected:?} after {took} ms");
        if let Some(token) = token {
            assert_eq!(client.complete(&token).await.code(), "UnknownResourceFault");
            assert_eq!(sim.task(&ids[0]).unwrap().late_calls, 1);
        }
    }
    let one_each: Vec<_> = cases.iter().map(|(_, _, timeout)| (*timeout, 1)).collect();
    let summary = sim.summary();
    assert_eq!(summary.timed_out, 4);
    assert_eq!(summary.timed_out_by, one_each.into_iter().collect());
    assert_eq!(
        serde_json::to_value(&summary).unwrap()["timed_out_by"]["START_TO_CLOSE"],
        serde_json::json!(1)
    );
}

/// The tests of `world` prove on given times that heartbeats keep a task alive.
#[tokio::test]
async fn a_heartbeat_moves_the_heartbeat_timeout() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let timeouts = Timeouts {
        // Long enough for a heartbeat on a busy machine.
        heartbeat: Some(Duration::from_secs(5)),
        ..Timeouts::default()
    };
    let ids = sim.schedule(Schedule {
        timeouts,
        ..Schedule::new("shop", "list")
    });
    let token = client.take("list").await;
    let started = sim.task(&ids[0]).unwrap().started_ms.unwrap();
    let mut newest = started;
    // A heartbeat in the millisecond of the start would move nothing.
    while newest == started {
        assert_eq!(client.heartbeat(&token).await.status, 200);
        newest = sim.task(&ids[0]).unwrap().heartbeats.back().unwrap().at_ms;
    }
    let closed = sim
        .wait_for_task(&ids[0], SOON, |task| !task.state.is_open())
        .await
        .unwrap();
    assert_eq!(closed.timeout_type, Some(TimeoutType::Heartbeat));
    let after = closed.closed_ms.unwrap() - newest;
    assert!((4_999..=5_001).contains(&after), "after {after} ms");
}

#[tokio::test]
async fn a_task_has_the_default_time_outs_of_its_registered_type() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let charge = ActivityType::new("charge", "1");
    let defaults = Timeouts {
        start_to_close: Some(Duration::from_secs(1)),
        ..Timeouts::default()
    };
    sim.register_activity_type("shop", charge.clone(), defaults);
    let task = Schedule {
        activity_type: charge,
        ..Schedule::new("shop", "list")
    };
    let timeouts = Timeouts {
        start_to_close: Some(Duration::from_secs(500)),
        ..defaults
    };
    let ids = sim.schedule(task.clone());
    let overridden = sim.schedule(Schedule { timeouts, ..task });
    for _ in 0..2 {
        client.take("list").await;
    }
    let closed = sim
        .wait_for_task(&ids[0], SOON, |task| !task.state.is_open())
        .await
        .unwrap();
    assert_eq!(closed.timeout_type, Some(TimeoutType::StartToClose));
    assert_eq!(sim.task(&overridden[0]).unwrap().state, TaskState::Started);
}
