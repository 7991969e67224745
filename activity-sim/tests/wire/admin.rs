//! The admin API, for the demo and for tests in other languages.

use serde_json::{Value, json};

use crate::client::{Client, SOON, sim};

#[tokio::test]
async fn tasks_are_scheduled_and_reported_over_http() {
    let sim = sim().await;
    let client = Client::new(&sim);
    assert_eq!(
        client
            .admin("POST", "/_sim/domains", r#"{"name": "bank"}"#)
            .await
            .status,
        200
    );
    let body = json!([
        { "domain": "shop", "task_list": "a", "count": 3, "workflow_id": "order",
          "activity_type": { "name": "charge", "version": "1" }, "input": null,
          "timeouts": { "heartbeat": 30, "start_to_close": 60.5, "schedule_to_close": null } },
        { "domain": "bank", "task_list": "b", "request_cancel": true, "input": "x" },
    ]);
    let scheduled = client
        .admin("POST", "/_sim/schedule", &body.to_string())
        .await;
    let ids = scheduled.body["activity_ids"].as_array().unwrap().clone();
    assert_eq!(ids.len(), 4);
    client.complete(&client.take("a").await).await;

    let tasks = client.admin("GET", "/_sim/tasks", "").await.body;
    let found: Vec<_> = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["activity_id"].clone())
        .collect();
    assert_eq!(found, ids);
    let done = client
        .admin("GET", "/_sim/tasks?state=completed&task_list=a", "")
        .await
        .body;
    assert_eq!(done.as_array().unwrap().len(), 1);
    assert_eq!(done[0]["state"], json!("completed"));
    assert_eq!(done[0]["workflow_id"], json!("order"));
    assert_eq!(
        done[0]["activity_type"],
        json!({ "name": "charge", "version": "1" })
    );
    assert_eq!(done[0]["timeout_type"], Value::Null);
    assert_eq!(done[0]["abandoned_poll"], json!(false));

    let summary = client.admin("GET", "/_sim/summary", "").await.body;
    assert_eq!(summary["scheduled"], json!(4));
    assert_eq!(summary["completed"], json!(1));
    let polls = &summary["calls"]["PollForActivityTask"];
    assert_eq!(polls, &json!({ "ok": 1, "errors": {} }));
    let of_b = client
        .admin("GET", "/_sim/summary?task_list=b", "")
        .await
        .body;
    assert_eq!(
        (of_b["scheduled"].clone(), of_b["open"].clone()),
        (json!(1), json!(1))
    );
}

#[tokio::test]
async fn tasks_are_canceled_over_http() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(activity_sim::Schedule {
        count: 2,
        ..activity_sim::Schedule::new("shop", "list")
    });
    client.take("list").await;
    let body = json!({ "activity_ids": [ids[0], ids[1], "activity-0-1"] }).to_string();
    let report = client.admin("POST", "/_sim/cancel", &body).await.body;
    assert_eq!(
        report,
        json!({
            "requested": [ids[0]], "canceled": [ids[1]], "closed": [], "unknown": ["activity-0-1"],
        })
    );
}

#[tokio::test]
async fn faults_and_throttles_are_set_and_cleared_over_http() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let rules = r#"[{"action": "PollForActivityTask", "kind": "error", "status": 500,
                     "code": "InternalFailure", "probability": 1.0, "times": 1, "task_list": null},
                    {"action": "*", "kind": "lost-answer", "times": 0}]"#;
    let set = client.admin("POST", "/_sim/faults", rules).await;
    assert_eq!(
        (set.status, set.body.as_array().map(Vec::len)),
        (200, Some(2))
    );
    assert_eq!(client.poll("list").await.status, 500);
    let left = client.admin("GET", "/_sim/faults", "").await.body;
    assert_eq!(left[0]["times"], json!(0));
    assert_eq!(client.admin("DELETE", "/_sim/faults", "").await.status, 204);
    assert!(sim.faults().is_empty());

    let throttle = r#"{"action": "*", "rate_per_sec": 0, "burst": 0}"#;
    assert_eq!(
        client
            .admin("POST", "/_sim/throttle", throttle)
            .await
            .status,
        200
    );
    assert_eq!(client.poll("list").await.code(), "ThrottlingException");
    assert_eq!(
        client.admin("DELETE", "/_sim/throttle", "").await.status,
        204
    );

    let forbid = r#"{"domain": "shop"}"#;
    assert_eq!(
        client.admin("POST", "/_sim/forbid", forbid).await.status,
        200
    );
    assert_eq!(
        client.poll("list").await.code(),
        "OperationNotPermittedFault"
    );
    let permit = r#"{"domain": "shop", "forbidden": false}"#;
    assert_eq!(
        client.admin("POST", "/_sim/forbid", permit).await.status,
        200
    );

    let charge = r#"{"domain": "shop", "activity_type": {"name": "charge", "version": "1"},
                     "defaults": {"heartbeat": 30}}"#;
    let registered = client.admin("POST", "/_sim/types", charge).await.body;
    assert_eq!(registered, json!({ "registered": true }));
}

#[tokio::test]
async fn every_call_counts_in_its_second_also_when_it_is_throttled() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let throttle = r#"{"action": "RecordActivityTaskHeartbeat", "rate_per_sec": 0, "burst": 0}"#;
    client.admin("POST", "/_sim/throttle", throttle).await;
    sim.schedule(activity_sim::Schedule::new("shop", "list"));
    let token = client.take("list").await;
    let before = sim.task(&sim.tasks()[0].activity_id).unwrap().started_ms;
    for _ in 0..3 {
        let refused = client.heartbeat(&token).await;
        assert_eq!(refused.code(), "ThrottlingException");
    }
    let path = "/_sim/rates?action=RecordActivityTaskHeartbeat";
    let rates = client.admin("GET", path, "").await.body;
    let from_ms = rates["from_ms"].as_u64().unwrap();
    assert!(from_ms % 1_000 == 0 && Some(from_ms + 1_000) > before);
    let per_second = rates["per_second"].as_array().unwrap();
    assert_eq!(per_second.iter().filter_map(Value::as_u64).sum::<u64>(), 3);
    assert_eq!(sim.rates("*").per_second.iter().sum::<u64>(), 4);

    let mistake = client.admin("GET", "/_sim/rates?action=Beat", "").await;
    assert_eq!(mistake.status, 400);
    sim.reset();
    assert_eq!(sim.rates("PollForActivityTask").per_second, [0]);
}

#[tokio::test]
async fn a_reset_removes_everything_except_domains_and_held_polls() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let poller = client.clone();
    let held = tokio::spawn(async move { poller.poll("held").await });
    sim.wait_until(SOON, |s| s.open_polls == 1).await.unwrap();
    sim.schedule(activity_sim::Schedule::new("shop", "list"));
    client
        .admin("POST", "/_sim/faults", r#"{"action": "*", "kind": "drop"}"#)
        .await;
    assert_eq!(client.admin("POST", "/_sim/reset", "").await.status, 204);
    let summary = sim.summary();
    assert_eq!(
        (summary.scheduled, summary.open_polls, summary.calls.len()),
        (0, 1, 0)
    );
    let ids = sim.schedule(activity_sim::Schedule::new("shop", "held"));
    assert_eq!(held.await.unwrap().body["activityId"], json!(ids[0]));
}

#[tokio::test]
async fn mistakes_are_answered_with_the_problem() {
    let sim = sim().await;
    let client = Client::new(&sim);
    for (path, body, status, said) in [
        (
            "/_sim/schedule",
            r#"{"domain": "bank", "task_list": "l"}"#,
            404,
            "no domain \"bank\"",
        ),
        (
            "/_sim/schedule",
            r#"{"domain": "shop", "taskList": "l"}"#,
            400,
            "taskList",
        ),
        (
            "/_sim/schedule",
            r#"{"domain": "shop", "task_list": "l", "timeouts": {"heartbeat": -1}}"#,
            400,
            "negative",
        ),
        (
            "/_sim/faults",
            r#"[{"action": "Poll", "kind": "drop"}]"#,
            400,
            "no action \"Poll\"",
        ),
        (
            "/_sim/faults",
            r#"{"action": "*", "kind": "explode"}"#,
            400,
            "explode",
        ),
        (
            "/_sim/faults",
            r#"{"action": "*", "kind": "drop", "probability": 2}"#,
            400,
            "probability",
        ),
        (
            "/_sim/throttle",
            r#"{"action": "*", "rate_per_sec": -1, "burst": 1}"#,
            400,
            "negative",
        ),
        (
            "/_sim/forbid",
            r#"{"domain": "bank"}"#,
            404,
            "no domain \"bank\"",
        ),
        ("/_sim/cancel", "", 400, "EOF"),
        ("/_sim/nowhere", "{}", 404, "no such path"),
    ] {
        let answer = client.admin("POST", path, body).await;
        let error = answer.body["error"].as_str().unwrap_or_default();
        assert!(
            answer.status == status && error.contains(said),
            "{path} {body}: {answer:?}"
        );
    }
    assert_eq!(
        client
            .admin("GET", "/_sim/tasks?status=failed", "")
            .await
            .status,
        400
    );
    assert_eq!(sim.summary().scheduled, 0);
}
