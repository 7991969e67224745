//! Executions: retries and stops, also by the admin API.

use std::time::Duration;

use activity_sim::{ExecutionRecord, ExecutionStatus, Retry, Schedule, Sim, TaskState, Timeouts};
use serde_json::json;

use super::sim;
use crate::client::Client;

fn retry(max_attempts: u32) -> Option<Retry> {
    Some(Retry {
        max_attempts,
        interval: Duration::from_millis(50),
    })
}

fn only(sim: &Sim) -> ExecutionRecord {
    let [execution] = sim.executions().try_into().unwrap();
    execution
}

#[tokio::test]
async fn a_failed_activity_is_retried_in_the_same_execution() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule {
        input: Some("[7]".to_owned()),
        retry: retry(2),
        timeouts: Timeouts {
            // Long enough for an answer on a busy machine.
            heartbeat: Some(Duration::from_secs(5)),
            ..Timeouts::default()
        },
        ..Schedule::activity(&arn)
    });
    let first = client.get(&arn).await;
    client.fail(&first).await;
    // The second attempt times out.
    let second = client.get(&arn).await;
    let third = client.get(&arn).await;
    client.succeed(&third).await;
    assert_eq!(client.succeed(&second).await.code(), "TaskTimedOut");

    let execution = only(&sim);
    assert_eq!(execution.status, ExecutionStatus::Succeeded);
    assert_eq!(execution.activity_arn, arn);
    assert_eq!(execution.input.as_deref(), Some("[7]"));
    assert_eq!(execution.output.as_deref(), Some("\"done\""));
    assert_eq!(
        (execution.attempts.len(), &execution.attempts[0]),
        (3, &ids[0])
    );
    let tasks = sim.tasks();
    let states: Vec<_> = tasks.iter().map(|task| task.state).collect();
    assert_eq!(
        states,
        [TaskState::Failed, TaskState::TimedOut, TaskState::Completed]
    );
    for task in tasks {
        assert_eq!(
            (&task.workflow_id, &task.run_id),
            (&execution.name, &execution.arn)
        );
        assert_eq!(task.input.as_deref(), Some("[7]"));
    }
}

#[tokio::test]
async fn an_execution_fails_after_its_last_attempt() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    sim.schedule(Schedule {
        retry: retry(1),
        ..Schedule::activity(&arn)
    });
    for _ in 0..2 {
        client.fail(&client.get(&arn).await).await;
    }
    let execution = only(&sim);
    assert_eq!(execution.status, ExecutionStatus::Failed);
    assert_eq!(execution.error.as_deref(), Some("NoStock"));
    assert_eq!(execution.cause.as_deref(), Some("shelf 3"));
    assert!(execution.stopped_ms >= Some(execution.started_ms));
}

#[tokio::test]
async fn a_canceled_task_stops_its_execution() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule {
        count: 2,
        retry: retry(5),
        ..Schedule::activity(&arn)
    });
    let token = client.get(&arn).await;
    let report = sim.cancel(&ids);
    assert_eq!((report.canceled, report.requested.len()), (ids.clone(), 0));
    for answer in [
        client.send_heartbeat(&token).await,
        client.succeed(&token).await,
    ] {
        assert_eq!(answer.code(), "TaskTimedOut");
    }
    let states = sim.tasks();
    assert!(states.iter().all(|task| task.state == TaskState::Canceled));
    let executions = sim.executions();
    assert!(
        executions
            .iter()
            .all(|e| e.status == ExecutionStatus::Aborted)
    );
    assert_eq!(sim.cancel(&ids).closed, ids);
}

#[tokio::test]
async fn an_activity_is_described() {
    let (sim, _) = sim().await;
    let client = Client::new(&sim);
    let arn = sim.create_activity("ship");
    let describe = || client.sfn("DescribeActivity", json!({ "activityArn": arn }));
    let described = describe().await.body;
    assert_eq!(described["activityArn"], json!(arn));
    assert_eq!(described["name"], json!("ship"));
    assert!(described["creationDate"].as_f64() > Some(1e9));
    sim.create_activity("ship");
    assert_eq!(describe().await.body, described);
}

#[tokio::test]
async fn executions_are_started_and_reported_over_http() {
    let (sim, _) = sim().await;
    let client = Client::new(&sim);
    let created = client
        .admin("POST", "/_sim/activities", r#"{"name": "ship"}"#)
        .await;
    let arn = created.body["activity_arn"].as_str().unwrap().to_owned();
    assert_eq!(arn, sim.create_activity("ship"));
    let schedule = json!({
        "domain": "", "task_list": arn, "input": "[1]", "count": 2,
        "timeouts": { "start_to_close": 60, "heartbeat": 30.5 },
        "retry": { "max_attempts": 1, "interval": 0.05 },
    });
    let scheduled = client
        .admin("POST", "/_sim/schedule", &schedule.to_string())
        .await;
    let ids = scheduled.body["activity_ids"].as_array().unwrap().clone();
    client.succeed(&client.get(&arn).await).await;
    let executions = client.admin("GET", "/_sim/executions", "").await.body;
    assert_eq!(executions.as_array().map(Vec::len), Some(2));
    assert_eq!(executions[0]["status"], json!("SUCCEEDED"));
    assert_eq!(executions[0]["attempts"], json!([ids[0]]));
    assert_eq!(executions[1]["status"], json!("RUNNING"));
    let path = format!("/_sim/tasks?state=completed&task_list={arn}");
    let tasks = client.admin("GET", &path, "").await.body;
    assert_eq!(tasks[0]["input"], json!("[1]"));
    let path = format!("/_sim/summary?task_list={arn}");
    let summary = client.admin("GET", &path, "").await.body;
    assert_eq!(
        (&summary["scheduled"], &summary["completed"]),
        (&json!(2), &json!(1))
    );

    for (path, body, status, said) in [
        (
            "/_sim/activities",
            r#"{"name": "a b"}"#,
            400,
            "not a valid name",
        ),
        (
            "/_sim/forbid",
            r#"{"activity_arn": "x"}"#,
            404,
            "no activity",
        ),
        ("/_sim/forbid", "{}", 400, "either"),
        (
            "/_sim/schedule",
            r#"{"domain": "", "task_list": "x"}"#,
            404,
            "no activity \"x\"",
        ),
        (
            "/_sim/schedule",
            r#"{"domain": "shop", "task_list": "x", "retry": {"max_attempts": 1, "interval": 1}}"#,
            400,
            "retry",
        ),
    ] {
        let answer = client.admin("POST", path, body).await;
        let error = answer.body["error"].as_str().unwrap_or_default();
        assert!(
            answer.status == status && error.contains(said),
            "{path} {body}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_schedule_for_step_functions_refuses_what_only_swf_has() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    for (member, value) in [
        ("request_cancel", json!(true)),
        ("workflow_id", json!("order")),
        ("activity_type", json!({ "name": "charge", "version": "1" })),
        ("timeouts", json!({ "schedule_to_start": 1 })),
        ("timeouts", json!({ "schedule_to_close": 1 })),
    ] {
        let body = json!({ "domain": "", "task_list": arn, member: value }).to_string();
        let answer = client.admin("POST", "/_sim/schedule", &body).await;
        assert_eq!(answer.status, 400, "{member}: {answer:?}");
    }
    assert!(sim.executions().is_empty());
}
