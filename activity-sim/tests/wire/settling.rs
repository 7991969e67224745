//! Heartbeats and the three ways to settle a task, and their records.

use std::time::Instant;

use activity_sim::{Schedule, TaskState};
use serde_json::{Value, json};

use crate::client::{Client, sim};

#[tokio::test]
async fn a_task_is_completed() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let begun = sim.unix_micros(Instant::now());
    let ids = sim.schedule(Schedule::new("shop", "list"));
    let token = client.take("list").await;
    let taken = sim.unix_micros(Instant::now());
    let answer = client.complete(&token).await;
    assert_eq!((answer.status, answer.body), (200, Value::Null));
    let record = sim.task(&ids[0]).unwrap();
    assert_eq!(record.state, TaskState::Completed);
    assert_eq!(record.result.as_deref(), Some("done"));
    assert!(record.started_ms >= Some(record.scheduled_ms));
    assert!(record.closed_ms >= record.started_ms);
    let answered = record.answered_us.unwrap();
    assert!((begun..=taken).contains(&answered));
    assert!(Some(answered / 1_000) >= record.started_ms);
    assert_eq!((record.settle_calls, record.late_calls), (1, 0));
}

#[tokio::test]
async fn a_task_is_failed_with_its_reason() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule::new("shop", "list"));
    let token = client.take("list").await;
    let body = json!({ "taskToken": token, "reason": "no stock", "details": "shelf 3" });
    assert_eq!(
        client.call("RespondActivityTaskFailed", body).await.status,
        200
    );
    let record = sim.task(&ids[0]).unwrap();
    assert_eq!(record.state, TaskState::Failed);
    assert_eq!(record.reason.as_deref(), Some("no stock"));
    assert_eq!(record.details.as_deref(), Some("shelf 3"));
    assert_eq!(sim.summary().failed, 1);
}

#[tokio::test]
async fn a_heartbeat_reports_a_cancel_request_which_allows_the_cancel() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule::new("shop", "list"));
    let token = client.take("list").await;
    assert_eq!(
        client.heartbeat(&token).await.body,
        json!({ "cancelRequested": false })
    );
    let canceled = json!({ "taskToken": token, "details": "undone" });
    let refused = client
        .call("RespondActivityTaskCanceled", canceled.clone())
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "ValidationException")
    );
    assert_eq!(sim.cancel(&ids).requested, ids);
    assert_eq!(
        client.heartbeat(&token).await.body,
        json!({ "cancelRequested": true })
    );
    assert_eq!(
        client
            .call("RespondActivityTaskCanceled", canceled)
            .await
            .status,
        200
    );
    let record = sim.task(&ids[0]).unwrap();
    assert_eq!(record.state, TaskState::Canceled);
    assert_eq!(record.details.as_deref(), Some("undone"));
    assert!(record.cancel_requested);
    assert_eq!((record.heartbeat_count, record.heartbeats.len()), (2, 2));
    assert_eq!(record.heartbeats[0].details.as_deref(), Some("half"));
}

#[tokio::test]
async fn a_cancel_can_be_requested_from_the_start() {
    let sim = sim().await;
    let client = Client::new(&sim);
    sim.schedule(Schedule {
        request_cancel: true,
        ..Schedule::new("shop", "list")
    });
    let token = client.take("list").await;
    assert_eq!(
        client.heartbeat(&token).await.body["cancelRequested"],
        json!(true)
    );
    // A worker may still complete the task.
    assert_eq!(client.complete(&token).await.status, 200);
}

#[tokio::test]
async fn late_and_duplicate_calls_are_refused_and_counted() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule::new("shop", "list"));
    let token = client.take("list").await;
    client.complete(&token).await;
    let body = json!({ "taskToken": token });
    for action in [
        "RespondActivityTaskCompleted",
        "RespondActivityTaskFailed",
        "RespondActivityTaskCanceled",
        "RecordActivityTaskHeartbeat",
    ] {
        let answer = client.call(action, body.clone()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "UnknownResourceFault"),
            "{action}"
        );
    }
    let record = sim.task(&ids[0]).unwrap();
    assert_eq!((record.late_calls, record.settle_calls), (4, 4));
    assert_eq!(record.state, TaskState::Completed);
    let summary = sim.summary();
    assert_eq!((summary.late_calls, summary.completed), (4, 1));
    assert_eq!(
        summary.errors("RespondActivityTaskFailed", "UnknownResourceFault"),
        1
    );
    assert_eq!(summary.ok("RespondActivityTaskCompleted"), 1);
}

#[tokio::test]
async fn tokens_from_before_a_reset_or_of_another_simulator_are_unknown() {
    let sim = sim().await;
    let client = Client::new(&sim);
    sim.schedule(Schedule::new("shop", "list"));
    let token = client.take("list").await;
    let other = crate::client::sim().await;
    assert_eq!(
        Client::new(&other).complete(&token).await.code(),
        "UnknownResourceFault"
    );
    sim.reset();
    assert_eq!(client.complete(&token).await.code(), "UnknownResourceFault");
    assert_eq!(sim.summary().completed, 0);
}

#[tokio::test]
async fn a_heartbeat_is_recorded_with_the_access_key_that_signed_it() {
    let sim = sim().await;
    let (one, two) = (Client::new(&sim), Client::with_access_key(&sim, "AKIA2"));
    let ids = sim.schedule(Schedule::new("shop", "list"));
    let token = one.take("list").await;
    for client in [&one, &two] {
        assert_eq!(client.heartbeat(&token).await.status, 200);
    }
    let beats = sim.task(&ids[0]).unwrap().heartbeats;
    let by: Vec<_> = beats.iter().map(|beat| beat.by.as_deref()).collect();
    assert_eq!(by, [None, Some("AKIA2")]);
}

#[tokio::test]
async fn many_workers_settle_each_task_once() {
    let sim = sim().await;
    sim.schedule(Schedule {
        count: 400,
        ..Schedule::new("shop", "list")
    });
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let client = Client::new(&sim);
            tokio::spawn(async move {
                for _ in 0..50 {
                    let token = client.take("list").await;
                    assert_eq!(client.complete(&token).await.status, 200);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let summary = sim.summary();
    assert_eq!(
        (summary.completed, summary.open, summary.late_calls),
        (400, 0, 0)
    );
    assert!(summary.p50_ms > 0.0 && summary.p50_ms <= summary.p99_ms);
}
