//! What the service refuses, and with which fault.

use std::time::Duration;

use activity_sim::{ActivityType, Schedule, TaskState, Timeouts};
use serde_json::{Value, json};

use crate::client::{Client, poll, sim};

/// A text of so many characters, each of more than one byte.
fn text(length: usize) -> String {
    "ü".repeat(length)
}

/// The poll's body with one member replaced.
fn poll_with(pointer: &str, value: Value) -> Value {
    let mut body = poll("list");
    *body.pointer_mut(pointer).unwrap() = value;
    body
}

#[tokio::test]
async fn every_limit_of_a_poll_is_checked() {
    let sim = sim().await;
    let client = Client::new(&sim);
    for (pointer, value) in [
        ("/domain", Value::Null),
        ("/domain", json!("")),
        ("/domain", json!("arn")),
        ("/domain", json!("a|b")),
        ("/domain", json!(text(257))),
        ("/taskList", Value::Null),
        ("/taskList/name", Value::Null),
        ("/taskList/name", json!("")),
        ("/taskList/name", json!(" list")),
        ("/taskList/name", json!("a:b")),
        ("/taskList/name", json!(text(257))),
        ("/identity", json!(text(257))),
    ] {
        let answer = client
            .call("PollForActivityTask", poll_with(pointer, value))
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "ValidationException"),
            "{pointer}"
        );
    }
    sim.schedule(Schedule::new("shop", text(256)));
    let mut longest = poll(&text(256));
    longest["identity"] = json!(text(256));
    assert_eq!(
        client.call("PollForActivityTask", longest).await.status,
        200
    );
}

#[tokio::test]
async fn every_limit_of_a_settlement_is_checked() {
    let sim = sim().await;
    let client = Client::new(&sim);
    for (action, member, limit) in [
        ("RecordActivityTaskHeartbeat", "details", 2_048),
        ("RespondActivityTaskCompleted", "result", 32_768),
        ("RespondActivityTaskFailed", "reason", 256),
        ("RespondActivityTaskFailed", "details", 32_768),
        ("RespondActivityTaskCanceled", "details", 32_768),
    ] {
        let list = format!("{action} {member}");
        sim.schedule(Schedule {
            request_cancel: true,
            ..Schedule::new("shop", &list)
        });
        let token = client.take(&list).await;
        let body = |length| json!({ "taskToken": token, member: text(length) });
        let refused = client.call(action, body(limit + 1)).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "ValidationException"),
            "{list}"
        );
        assert_eq!(client.call(action, body(limit)).await.status, 200, "{list}");
        for token in [Value::Null, json!(""), json!("x"), json!("x".repeat(1_025))] {
            let refused = client.call(action, json!({ "taskToken": token })).await;
            assert_eq!(refused.code(), "ValidationException", "{list}");
        }
    }
    assert!(sim.tasks().iter().all(|task| task.late_calls == 0));
}

#[tokio::test]
async fn unknown_and_forbidden_domains_are_told_apart() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let unknown = client
        .call("PollForActivityTask", poll_with("/domain", json!("bank")))
        .await;
    assert_eq!(
        (unknown.status, unknown.code()),
        (400, "UnknownResourceFault")
    );
    assert_eq!(
        unknown.body["__type"],
        json!("com.amazonaws.swf.base.model#UnknownResourceFault")
    );

    let ids = sim.schedule(Schedule::new("shop", "list"));
    let token = client.take("list").await;
    sim.forbid("shop");
    let place = json!({ "domain": "shop", "taskList": { "name": "list" } });
    let wanted = json!({ "domain": "shop", "activityType": { "name": "a", "version": "1" } });
    for (action, body) in [
        ("PollForActivityTask", poll("list")),
        ("CountPendingActivityTasks", place),
        ("DescribeDomain", json!({ "name": "shop" })),
        ("DescribeActivityType", wanted),
        ("RecordActivityTaskHeartbeat", json!({ "taskToken": token })),
        (
            "RespondActivityTaskCompleted",
            json!({ "taskToken": token }),
        ),
        ("RespondActivityTaskFailed", json!({ "taskToken": token })),
        ("RespondActivityTaskCanceled", json!({ "taskToken": token })),
    ] {
        let answer = client.call(action, body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "OperationNotPermittedFault"),
            "{action}"
        );
    }
    assert_eq!(sim.task(&ids[0]).unwrap().state, TaskState::Started);
    sim.permit("shop");
    assert_eq!(client.complete(&token).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let sim = sim().await;
    let client = Client::new(&sim);
    for body in [
        "",
        "{",
        "[]",
        "3",
        "{\"domain\": 3}",
        "{\"taskList\": \"list\"}",
        "\u{0}",
    ] {
        let answer = client.send("PollForActivityTask", body).await.unwrap();
        assert_eq!(
            (answer.status, answer.code()),
            (400, "SerializationException"),
            "{body}"
        );
    }
    for action in ["PollForDecisionTask", "", "pollforactivitytask"] {
        let answer = client.call(action, json!({})).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "UnknownOperationException"),
            "{action}"
        );
    }
    // Members that are not known are passed over.
    sim.schedule(Schedule::new("shop", "list"));
    let mut body = poll("list");
    body["novelty"] = json!([1]);
    assert_eq!(client.call("PollForActivityTask", body).await.status, 200);
}

#[tokio::test]
async fn domains_are_registered_described_and_listed() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let bank = json!({ "name": "bank", "workflowExecutionRetentionPeriodInDays": "3" });
    assert_eq!(
        client.call("RegisterDomain", bank.clone()).await.status,
        200
    );
    assert_eq!(
        client.call("RegisterDomain", bank).await.code(),
        "DomainAlreadyExistsFault"
    );
    let without = client.call("RegisterDomain", json!({ "name": "x" })).await;
    assert_eq!(without.code(), "ValidationException");
    let described = client
        .call("DescribeDomain", json!({ "name": "bank" }))
        .await;
    assert_eq!(described.body["domainInfo"]["status"], json!("REGISTERED"));
    let retention = &described.body["configuration"]["workflowExecutionRetentionPeriodInDays"];
    assert_eq!(retention, &json!("3"));
    assert_eq!(
        client
            .call("DescribeDomain", json!({ "name": "none" }))
            .await
            .code(),
        "UnknownResourceFault"
    );
    let listed = client
        .call("ListDomains", json!({ "registrationStatus": "REGISTERED" }))
        .await;
    let names: Vec<_> = listed.body["domainInfos"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(
        names.iter().map(|info| &info["name"]).collect::<Vec<_>>(),
        ["bank", "shop"]
    );
}

#[tokio::test]
async fn types_are_registered_and_described_with_their_defaults() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let charge = json!({
        "domain": "shop", "name": "charge", "version": "1", "description": "takes money",
        "defaultTaskList": { "name": "payments" }, "defaultTaskHeartbeatTimeout": "30",
        "defaultTaskStartToCloseTimeout": "NONE", "defaultTaskPriority": "5",
    });
    assert_eq!(
        client
            .call("RegisterActivityType", charge.clone())
            .await
            .status,
        200
    );
    let again = client.call("RegisterActivityType", charge.clone()).await;
    assert_eq!(again.code(), "TypeAlreadyExistsFault");
    let mut wrong = charge;
    wrong["defaultTaskHeartbeatTimeout"] = json!("half a minute");
    assert_eq!(
        client.call("RegisterActivityType", wrong).await.code(),
        "ValidationException"
    );

    let describe = |name: &str| {
        let wanted = json!({ "name": name, "version": "1" });
        let body = json!({ "domain": "shop", "activityType": wanted });
        client.call("DescribeActivityType", body)
    };
    let described = describe("charge").await;
    assert_eq!(
        described.body["typeInfo"]["activityType"]["name"],
        json!("charge")
    );
    assert_eq!(
        described.body["configuration"],
        json!({
            "defaultTaskList": { "name": "payments" }, "defaultTaskHeartbeatTimeout": "30",
            "defaultTaskStartToCloseTimeout": "NONE", "defaultTaskPriority": "5",
        })
    );
    assert_eq!(describe("refund").await.code(), "UnknownResourceFault");
    sim.register_activity_type(
        "shop",
        ActivityType::new("refund", "1"),
        Timeouts::default(),
    );
    assert_eq!(describe("refund").await.body["configuration"], json!({}));
    let secs = |secs| Some(Duration::from_secs(secs));
    let all_four = Timeouts {
        schedule_to_start: secs(1),
        start_to_close: secs(2),
        schedule_to_close: secs(3),
        heartbeat: secs(4),
    };
    sim.register_activity_type("shop", ActivityType::new("ship", "1"), all_four);
    assert_eq!(
        describe("ship").await.body["configuration"],
        json!({
            "defaultTaskScheduleToStartTimeout": "1", "defaultTaskStartToCloseTimeout": "2",
            "defaultTaskScheduleToCloseTimeout": "3", "defaultTaskHeartbeatTimeout": "4",
        })
    );
}
