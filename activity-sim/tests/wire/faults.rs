//! Injected faults and throttles.

use std::{
    error::Error,
    io::ErrorKind,
    time::{Duration, Instant},
};

use activity_sim::{FaultKind, FaultRule, Schedule, TaskState, Throttle};
use serde_json::json;

use crate::client::{Client, SOON, poll, sim};

const POLL: &str = "PollForActivityTask";
const COMPLETE: &str = "RespondActivityTaskCompleted";

#[tokio::test]
async fn an_error_is_answered_without_effect() {
    let sim = sim().await;
    let client = Client::new(&sim);
    sim.schedule(Schedule::new("shop", "list"));
    for (status, code) in [
        (500, "InternalFailure"),
        (503, "ServiceUnavailable"),
        (400, "ThrottlingException"),
        (400, "LimitExceededFault"),
        (403, "AccessDeniedException"),
    ] {
        sim.fault(FaultRule::error(POLL, status, code).times(1));
        let answer = client.poll("list").await;
        assert_eq!((answer.status, answer.code()), (status, code));
        assert_eq!(sim.summary().errors(POLL, code), 1);
    }
    assert_eq!(sim.summary().polled, 0);
    client.take("list").await;
}

#[tokio::test]
async fn latency_delays_the_call() {
    let sim = sim().await;
    sim.schedule(Schedule::new("shop", "list"));
    sim.fault(FaultRule::latency("*", Duration::from_millis(250)));
    let started = Instant::now();
    Client::new(&sim).take("list").await;
    assert!(started.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn a_dropped_call_has_no_answer_and_no_effect() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule::new("shop", "list"));
    let token = client.take("list").await;
    sim.fault(FaultRule::new(COMPLETE, FaultKind::Drop).times(1));
    let error = client
        .send(COMPLETE, json!({ "taskToken": token }).to_string())
        .await
        .unwrap_err();
    assert_ne!(io_error(&error), Some(ErrorKind::ConnectionReset));
    let record = sim.task(&ids[0]).unwrap();
    assert_eq!((record.state, record.settle_calls), (TaskState::Started, 0));
    assert_eq!(sim.summary().errors(COMPLETE, "drop"), 1);
    assert_eq!(client.complete(&token).await.status, 200);
}

#[tokio::test]
async fn a_reset_call_ends_with_a_reset() {
    let sim = sim().await;
    let client = Client::new(&sim);
    sim.fault(FaultRule::new("*", FaultKind::Reset).times(1));
    let error = client
        .send(POLL, poll("list").to_string())
        .await
        .unwrap_err();
    assert_eq!(io_error(&error), Some(ErrorKind::ConnectionReset));
    assert_eq!(sim.summary().errors(POLL, "reset"), 1);
}

#[tokio::test]
async fn a_call_whose_answer_is_lost_takes_effect() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule {
        count: 2,
        ..Schedule::new("shop", "list")
    });
    let token = client.take("list").await;
    sim.fault(FaultRule::new(COMPLETE, FaultKind::LostAnswer).times(1));
    assert!(
        client
            .send(COMPLETE, json!({ "taskToken": token }).to_string())
            .await
            .is_err()
    );
    assert_eq!(sim.task(&ids[0]).unwrap().state, TaskState::Completed);
    assert_eq!(client.complete(&token).await.code(), "UnknownResourceFault");
    let record = sim.task(&ids[0]).unwrap();
    assert_eq!((record.settle_calls, record.late_calls), (2, 1));

    sim.fault(FaultRule::new(POLL, FaultKind::LostAnswer).times(1));
    assert!(client.send(POLL, poll("list").to_string()).await.is_err());
    let lost = sim
        .wait_for_task(&ids[1], SOON, |task| task.abandoned_poll)
        .await
        .unwrap();
    assert_eq!(lost.state, TaskState::Started);
}

#[tokio::test]
async fn a_rule_for_a_task_list_also_hits_calls_with_tokens_of_its_tasks() {
    let sim = sim().await;
    let client = Client::new(&sim);
    sim.schedule(Schedule::new("shop", "one"));
    sim.schedule(Schedule::new("shop", "two"));
    let (one, two) = (client.take("one").await, client.take("two").await);
    sim.fault(FaultRule::error("*", 500, "InternalFailure").task_list("one"));
    assert_eq!(client.heartbeat(&one).await.status, 500);
    assert_eq!(client.heartbeat(&two).await.status, 200);
    assert_eq!(client.poll("one").await.status, 500);
    sim.clear_faults();
    assert_eq!(client.complete(&one).await.status, 200);
}

#[tokio::test]
async fn a_throttled_action_is_refused_above_its_burst() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule {
        count: 3,
        ..Schedule::new("shop", "list")
    });
    sim.throttle(Throttle {
        action: POLL.to_owned(),
        rate_per_sec: 0.0,
        burst: 2.0,
    });
    client.take("list").await;
    let token = client.take("list").await;
    let refused = client.poll("list").await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "ThrottlingException")
    );
    assert_eq!(refused.body["message"], json!("Rate exceeded"));
    assert_eq!(
        client.complete(&token).await.status,
        200,
        "other actions are not throttled"
    );
    assert_eq!(sim.task(&ids[2]).unwrap().state, TaskState::Scheduled);
    sim.clear_throttles();
    client.take("list").await;
}

#[tokio::test]
async fn a_throttle_of_every_action_is_one_bucket() {
    let sim = sim().await;
    let client = Client::new(&sim);
    sim.schedule(Schedule::new("shop", "list"));
    sim.throttle(Throttle {
        action: "*".to_owned(),
        rate_per_sec: 0.0,
        burst: 3.0,
    });
    let token = client.take("list").await;
    assert_eq!(client.heartbeat(&token).await.status, 200);
    assert_eq!(client.heartbeat(&token).await.status, 200);
    let refused = client.complete(&token).await;
    assert_eq!(refused.code(), "ThrottlingException");
    assert_eq!(client.poll("list").await.code(), "ThrottlingException");
}

#[tokio::test]
#[should_panic(expected = "no action \"Poll\"")]
async fn a_rule_for_an_unknown_action_panics() {
    sim().await.fault(FaultRule::new("Poll", FaultKind::Drop));
}

/// The kind of the I/O error that caused an error.
fn io_error(error: &reqwest::Error) -> Option<ErrorKind> {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}
