//! Histories: what a client learns about its task.

use std::time::Duration;

use activity_sim::{ActivityType, FaultRule, Schedule, Sim, Throttle, Timeouts};
use serde_json::{Value, json};

use crate::client::{Answer, Client, SOON, sim};

const ACTION: &str = "GetWorkflowExecutionHistory";

/// The body of a call for the run of a task.
fn about(sim: &Sim, activity_id: &str) -> Value {
    let task = sim.task(activity_id).unwrap();
    let execution = json!({ "workflowId": task.workflow_id, "runId": task.run_id });
    json!({ "domain": task.domain, "execution": execution })
}

/// The body with these members added.
fn with(body: &Value, members: Value) -> Value {
    let mut body = body.clone();
    let members = members.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(members);
    body
}

fn events(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["events"].as_array().unwrap().clone()
}

/// All events, read in pages of this size.
async fn paged(client: &Client, body: &Value, size: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut body = with(body, json!({ "maximumPageSize": size }));
    loop {
        let answer = client.call(ACTION, body.clone()).await;
        let page = events(&answer);
        assert!((1..=size).contains(&page.len()));
        all.extend(page);
        match &answer.body["nextPageToken"] {
            Value::Null => return all,
            token => body["nextPageToken"] = token.clone(),
        }
    }
}

#[tokio::test]
async fn the_started_event_leads_to_the_time_outs() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let charge = ActivityType::new("charge", "2");
    let defaults = Timeouts {
        start_to_close: Some(Duration::from_secs(600)),
        heartbeat: Some(Duration::from_secs(60)),
        ..Timeouts::default()
    };
    sim.register_activity_type("shop", charge.clone(), defaults);
    let timeouts = Timeouts {
        heartbeat: Some(Duration::from_millis(90_500)),
        schedule_to_close: Some(Duration::from_secs(3_600)),
        ..Timeouts::default()
    };
    let ids = sim.schedule(Schedule {
        activity_type: charge,
        input: Some("{}".to_owned()),
        workflow_id: Some("order".to_owned()),
        timeouts,
        count: 3,
        ..Schedule::new("shop", "list")
    });
    client.take("list").await;
    let polled = client.poll("list").await.body;
    let newest_first = with(
        &about(&sim, &ids[1]),
        json!({ "reverseOrder": true, "maximumPageSize": 5 }),
    );
    let found = events(&client.call(ACTION, newest_first).await);
    let by_id = |id: &Value| found.iter().find(|event| event["eventId"] == *id).unwrap();

    let started = by_id(&polled["startedEventId"]);
    assert_eq!(started["eventType"], json!("ActivityTaskStarted"));
    let attributes = &started["activityTaskStartedEventAttributes"];
    assert_eq!(attributes["identity"], json!("tester"));
    let scheduled = by_id(&attributes["scheduledEventId"]);
    let record = sim.task(&ids[1]).unwrap();
    assert_eq!(
        scheduled,
        &json!({
            "eventId": attributes["scheduledEventId"],
            "eventTimestamp": record.scheduled_ms as f64 / 1_000.0,
            "eventType": "ActivityTaskScheduled",
            "activityTaskScheduledEventAttributes": {
                "activityId": ids[1],
                "activityType": { "name": "charge", "version": "2" },
                "taskList": { "name": "list" },
                "input": "{}",
                "scheduleToStartTimeout": "NONE",
                "startToCloseTimeout": "600",
                "scheduleToCloseTimeout": "3600",
                "heartbeatTimeout": "90.5",
                "decisionTaskCompletedEventId": 4,
            },
        })
    );
}

#[tokio::test]
async fn every_end_of_a_task_has_its_event() {
    let sim = sim().await;
    let client = Client::new(&sim);
    // Long enough for a heartbeat on a busy machine.
    let short = Timeouts {
        heartbeat: Some(Duration::from_secs(5)),
        ..Timeouts::default()
    };
    for (action, members, what, mut expected) in [
        (
            "RespondActivityTaskCompleted",
            json!({ "result": "r" }),
            "Completed",
            json!({ "result": "r" }),
        ),
        (
            "RespondActivityTaskFailed",
            json!({ "reason": "why", "details": "d" }),
            "Failed",
            json!({ "reason": "why", "details": "d" }),
        ),
        (
            "RespondActivityTaskCanceled",
            json!({ "details": "d" }),
            "Canceled",
            json!({ "details": "d" }),
        ),
        (
            "RecordActivityTaskHeartbeat",
            json!({ "details": "last" }),
            "TimedOut",
            json!({ "details": "last", "timeoutType": "HEARTBEAT" }),
        ),
    ] {
        let ids = sim.schedule(Schedule {
            request_cancel: true,
            timeouts: if what == "TimedOut" {
                short
            } else {
                Timeouts::default()
            },
            ..Schedule::new("shop", what)
        });
        let polled = client.poll(what).await.body;
        let body = with(&members, json!({ "taskToken": polled["taskToken"] }));
        assert_eq!(client.call(action, body).await.status, 200, "{what}");
        sim.wait_for_task(&ids[0], SOON, |task| !task.state.is_open())
            .await
            .unwrap();

        let found = events(&client.call(ACTION, about(&sim, &ids[0])).await);
        let kinds: Vec<_> = found.iter().map(|event| &event["eventType"]).collect();
        let closed = format!("ActivityTask{what}");
        assert_eq!(
            kinds,
            ["ActivityTaskScheduled", "ActivityTaskStarted", &closed]
        );
        expected["scheduledEventId"] = found[0]["eventId"].clone();
        expected["startedEventId"] = polled["startedEventId"].clone();
        let attributes = &found[2][format!("activityTask{what}EventAttributes")];
        assert_eq!(attributes, &expected, "{what}");
    }
}

#[tokio::test]
async fn a_task_that_was_not_handed_out_has_no_started_event() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule::new("shop", "list"));
    sim.cancel([&ids[0]]);
    let found = events(&client.call(ACTION, about(&sim, &ids[0])).await);
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[1]["activityTaskCanceledEventAttributes"],
        json!({ "scheduledEventId": found[0]["eventId"], "startedEventId": 0 })
    );
}

#[tokio::test]
async fn the_pages_together_are_the_history_in_either_order() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let order = Schedule {
        workflow_id: Some("order".to_owned()),
        count: 4,
        ..Schedule::new("shop", "list")
    };
    let ids = sim.schedule(order.clone());
    let body = about(&sim, &ids[0]);
    for _ in 0..3 {
        client.complete(&client.take("list").await).await;
    }
    let all = events(&client.call(ACTION, body.clone()).await);
    let numbers: Vec<_> = all.iter().map(|event| event["eventId"].as_u64()).collect();
    assert_eq!(numbers, (5..15).map(Some).collect::<Vec<_>>());
    let reversed: Vec<_> = all.iter().rev().cloned().collect();
    let newest_first = with(&body, json!({ "reverseOrder": true }));
    for size in [1, 3, 5, 9, 10, 11, 1_000] {
        assert_eq!(paged(&client, &body, size).await, all, "{size}");
        assert_eq!(paged(&client, &newest_first, size).await, reversed);
    }

    let two = with(&body, json!({ "maximumPageSize": 2 }));
    let token = client.call(ACTION, two).await.body["nextPageToken"].clone();
    // New events before the next page do not change the ids.
    sim.schedule(order);
    let rest = client
        .call(ACTION, with(&body, json!({ "nextPageToken": token })))
        .await;
    assert_eq!(events(&rest)[..8], all[2..]);
    assert_eq!(events(&rest).len(), 12);
    for token in [token, json!("x"), json!("")] {
        let other_order = with(&newest_first, json!({ "nextPageToken": token }));
        let refused = client.call(ACTION, other_order).await;
        assert_eq!(refused.code(), "ValidationException");
    }
}

#[tokio::test]
async fn invalid_requests_are_refused() {
    let sim = sim().await;
    let client = Client::new(&sim);
    sim.add_domain("bank");
    let ids = sim.schedule(Schedule::new("shop", "list"));
    let other = sim.schedule(Schedule::new("shop", "list"));
    let body = about(&sim, &ids[0]);
    let others_run = &about(&sim, &other[0])["execution"]["runId"];
    for (pointer, value, code) in [
        ("/domain", json!("none"), "UnknownResourceFault"),
        ("/domain", json!("bank"), "UnknownResourceFault"),
        ("/domain", json!(""), "ValidationException"),
        (
            "/execution/workflowId",
            json!("other"),
            "UnknownResourceFault",
        ),
        ("/execution/workflowId", Value::Null, "ValidationException"),
        (
            "/execution/workflowId",
            json!("x".repeat(257)),
            "ValidationException",
        ),
        (
            "/execution/runId",
            others_run.clone(),
            "UnknownResourceFault",
        ),
        ("/execution/runId", json!("x"), "UnknownResourceFault"),
        ("/execution/runId", json!(""), "ValidationException"),
        (
            "/execution/runId",
            json!("x".repeat(65)),
            "ValidationException",
        ),
        ("/maximumPageSize", json!(1_001), "ValidationException"),
        ("/maximumPageSize", json!(-1), "ValidationException"),
        ("/maximumPageSize", json!("1"), "SerializationException"),
        (
            "/nextPageToken",
            json!("x".repeat(2_049)),
            "ValidationException",
        ),
    ] {
        let empty = json!({ "maximumPageSize": null, "nextPageToken": null });
        let mut wrong = with(&body, empty);
        *wrong.pointer_mut(pointer).unwrap() = value.clone();
        let answer = client.call(ACTION, wrong).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, code),
            "{pointer} {value}"
        );
    }
    sim.forbid("shop");
    let forbidden = client.call(ACTION, body.clone()).await;
    assert_eq!(forbidden.code(), "OperationNotPermittedFault");
    sim.permit("shop");
    sim.reset();
    sim.schedule(Schedule::new("shop", "list"));
    let forgotten = client.call(ACTION, body).await;
    assert_eq!(forgotten.code(), "UnknownResourceFault");
}

#[tokio::test]
async fn faults_and_throttles_apply_to_it() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let ids = sim.schedule(Schedule::new("shop", "list"));
    let body = about(&sim, &ids[0]);
    sim.fault(FaultRule::error(ACTION, 400, "AccessDeniedException").times(1));
    sim.throttle(Throttle {
        action: ACTION.to_owned(),
        rate_per_sec: 0.0,
        burst: 1.0,
    });
    for code in ["AccessDeniedException", "", "ThrottlingException"] {
        assert_eq!(client.call(ACTION, body.clone()).await.code(), code);
    }
    assert_eq!(sim.summary().ok(ACTION), 1);
}
