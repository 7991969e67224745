//! Polls, hand-outs, heartbeats and settlements, and their records.

use std::time::{Duration, Instant};

use activity_sim::{FaultKind, FaultRule, Schedule, TaskState, Throttle, TimeoutType, Timeouts};
use serde_json::json;

use super::{sim, sim_holding};
use crate::client::{Client, SOON};

const POLL: &str = "GetActivityTask";

#[tokio::test]
async fn an_empty_poll_is_held_and_answered_without_a_token() {
    let hold = Duration::from_millis(300);
    let (sim, arn) = sim_holding(hold).await;
    let started = Instant::now();
    let client = Client::new(&sim);
    let answer = client.sfn(POLL, json!({ "activityArn": arn })).await;
    assert!(started.elapsed() >= hold);
    assert_eq!((answer.status, answer.body), (200, json!({})));
    assert_eq!(sim.summary_of(&arn).empty_polls, 1);
}

#[tokio::test]
async fn a_task_is_handed_out_and_succeeds() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    let poll = {
        let (client, body) = (
            client.clone(),
            json!({ "activityArn": arn, "workerName": "tester" }),
        );
        tokio::spawn(async move { client.sfn(POLL, body).await })
    };
    sim.wait_until(SOON, |s| s.open_polls == 1).await.unwrap();
    let input = "{\"amount\": 3, \"text\": \"ü\u{1f600}\"}";
    let ids = sim.schedule(Schedule {
        input: Some(input.to_owned()),
        ..Schedule::activity(&arn)
    });
    let answer = poll.await.unwrap();
    let token = answer.token();
    assert!((500..=2_048).contains(&token.len()));
    assert_eq!(answer.body, json!({ "taskToken": token, "input": input }));

    let heartbeat = client.send_heartbeat(&token).await;
    assert_eq!((heartbeat.status, heartbeat.body), (200, json!({})));
    let done = client.succeed(&token).await;
    assert_eq!((done.status, done.body), (200, json!({})));
    let record = sim.task(&ids[0]).unwrap();
    assert_eq!(record.state, TaskState::Completed);
    assert_eq!((record.domain.as_str(), &record.task_list), ("", &arn));
    assert_eq!(record.input.as_deref(), Some(input));
    assert_eq!(record.result.as_deref(), Some("\"done\""));
    assert_eq!(record.identity.as_deref(), Some("tester"));
    let kind = &record.activity_type;
    assert_eq!((kind.name.as_str(), kind.version.as_str()), ("charge", ""));
    assert_eq!(
        (record.heartbeat_count, &record.heartbeats[0].details),
        (1, &None)
    );
    assert_eq!((record.settle_calls, record.late_calls), (1, 0));
    assert_eq!(sim.summary_of(&arn).completed, 1);
    assert_eq!(sim.summary_of("other").scheduled, 0);
}

#[tokio::test]
async fn a_task_fails_with_its_error_and_cause() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule::activity(&arn));
    assert_eq!(sim.task(&ids[0]).unwrap().input.as_deref(), Some("{}"));
    let token = client.get(&arn).await;
    let failed = client.fail(&token).await;
    assert_eq!((failed.status, failed.body), (200, json!({})));
    let record = sim.task(&ids[0]).unwrap();
    assert_eq!(record.state, TaskState::Failed);
    assert_eq!(record.reason.as_deref(), Some("NoStock"));
    assert_eq!(record.details.as_deref(), Some("shelf 3"));
}

#[tokio::test]
async fn late_and_duplicate_calls_are_refused_and_counted() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule::activity(&arn));
    let token = client.get(&arn).await;
    client.succeed(&token).await;
    for answer in [
        client.succeed(&token).await,
        client.fail(&token).await,
        client.send_heartbeat(&token).await,
    ] {
        assert_eq!((answer.status, answer.code()), (400, "TaskTimedOut"));
    }
    let record = sim.task(&ids[0]).unwrap();
    assert_eq!((record.late_calls, record.settle_calls), (3, 3));
    assert_eq!(sim.summary().errors("SendTaskSuccess", "TaskTimedOut"), 1);
}

#[tokio::test]
async fn each_time_out_closes_its_task() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    let short = Some(Duration::from_millis(100));
    for (timeout, timeouts) in [
        (
            TimeoutType::StartToClose,
            Timeouts {
                start_to_close: short,
                ..Timeouts::default()
            },
        ),
        (
            TimeoutType::Heartbeat,
            Timeouts {
                heartbeat: short,
                ..Timeouts::default()
            },
        ),
    ] {
        let ids = sim.schedule(Schedule {
            timeouts,
            ..Schedule::activity(&arn)
        });
        let token = client.get(&arn).await;
        let closed = sim
            .wait_for_task(&ids[0], SOON, |task| !task.state.is_open())
            .await
            .unwrap();
        assert_eq!(closed.timeout_type, Some(timeout));
        assert_eq!(client.succeed(&token).await.code(), "TaskTimedOut");
    }
}

#[tokio::test]
async fn an_abandoned_poll_loses_the_next_task() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    let abandoned = {
        let (caller, arn) = (Client::new(&sim), arn.clone());
        tokio::spawn(async move { caller.get(&arn).await })
    };
    sim.wait_until(SOON, |s| s.open_polls == 1).await.unwrap();
    abandoned.abort();
    sim.wait_until(SOON, |s| s.errors(POLL, "client-gone") == 1)
        .await
        .unwrap();
    let ids = sim.schedule(Schedule {
        count: 2,
        ..Schedule::activity(&arn)
    });
    let lost = sim
        .wait_for_task(&ids[0], SOON, |task| task.abandoned_poll)
        .await
        .unwrap();
    assert_eq!(lost.state, TaskState::Started);
    client.get(&arn).await;
    assert_eq!(sim.summary_of(&arn).abandoned, 1);
}

#[tokio::test]
async fn the_longest_input_and_output_are_accepted() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    let input = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    let ids = sim.schedule(Schedule {
        input: Some(input.clone()),
        ..Schedule::activity(&arn)
    });
    let answer = client.sfn(POLL, json!({ "activityArn": arn })).await;
    assert_eq!(answer.body["input"], json!(input));
    // The request escapes nearly every character of it again.
    let output = format!("\"{}\"", "\\\"".repeat(131_071));
    assert_eq!(output.len(), 262_144);
    let body = json!({ "taskToken": answer.token(), "output": output });
    assert_eq!(client.sfn("SendTaskSuccess", body).await.status, 200);
    assert_eq!(sim.task(&ids[0]).unwrap().result, Some(output));
}

#[tokio::test]
async fn faults_throttles_and_rates_apply_to_its_actions_and_activities() {
    let (sim, arn) = sim().await;
    let other = sim.create_activity("ship");
    let client = Client::new(&sim);
    sim.schedule(Schedule::activity(&arn));
    sim.schedule(Schedule::activity(&other));
    let (one, two) = (client.get(&arn).await, client.get(&other).await);
    sim.fault(FaultRule::error("*", 400, "KmsThrottlingException").task_list(&arn));
    let refused = client.send_heartbeat(&one).await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "KmsThrottlingException")
    );
    assert_eq!(client.send_heartbeat(&two).await.status, 200);
    let poll = client.sfn(POLL, json!({ "activityArn": arn })).await;
    assert_eq!(poll.code(), "KmsThrottlingException");
    sim.clear_faults();

    sim.fault(FaultRule::new("SendTaskSuccess", FaultKind::LostAnswer).times(1));
    let body = json!({ "taskToken": one, "output": "1" }).to_string();
    let lost = client
        .send_to("AWSStepFunctions.SendTaskSuccess", body)
        .await;
    assert!(lost.is_err());
    assert_eq!(client.succeed(&one).await.code(), "TaskTimedOut");

    sim.throttle(Throttle {
        action: "SendTaskHeartbeat".to_owned(),
        rate_per_sec: 0.0,
        burst: 0.0,
    });
    assert_eq!(
        client.send_heartbeat(&two).await.code(),
        "ThrottlingException"
    );
    assert_eq!(client.succeed(&two).await.status, 200);
    assert_eq!(
        sim.rates("SendTaskHeartbeat")
            .per_second
            .iter()
            .sum::<u64>(),
        3
    );
}

#[tokio::test]
async fn both_services_are_served_at_once() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule::activity(&arn));
    let more = sim.schedule(Schedule::new("shop", "list"));
    assert_ne!(ids, more);
    let (states, swf) = (client.get(&arn).await, client.take("list").await);
    // Neither accepts the tokens of the other.
    assert_eq!(client.succeed(&swf).await.code(), "InvalidToken");
    assert_eq!(client.complete(&states).await.code(), "ValidationException");
    assert_eq!(client.succeed(&states).await.status, 200);
    assert_eq!(client.complete(&swf).await.status, 200);
    assert_eq!(sim.tasks().len(), 2);
    assert_eq!(sim.executions().len(), 1);
}
