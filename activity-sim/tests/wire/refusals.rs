//! The calls that SWF refuses, and the fault of each.

use std::time::Duration;

use activity_sim::{ActivityType, Schedule, TaskState, Timeouts};
use serde_json::{Value, json};

use crate::client::{Client, poll, sim};

/// A text of this many characters, each of more than one byte.
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
async fn unknown_and_forbidden_domains_have_different_faults() {
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
async fn a_body_that_cannot_be_read_is_refused() {
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
    for action in [
        "PollForDecisionTask",
        "RegisterDomain",
        "",
        "pollforactivitytask",
    ] {
        let answer = client.call(action, json!({})).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "UnknownOperationException"),
            "{action}"
        );
    }
    // Unknown members are ignored.
    sim.schedule(Schedule::new("shop", "list"));
    let mut body = poll("list");
    body["novelty"] = json!([1]);
    assert_eq!(client.call("PollForActivityTask", body).await.status, 200);
}

#[tokio::test]
async fn a_registered_type_is_described_with_its_defaults() {
    let sim = sim().await;
    let client = Client::new(&sim);
    let describe = |name: &str| {
        let wanted = json!({ "name": name, "version": "1" });
        let body = json!({ "domain": "shop", "activityType": wanted });
        client.call("DescribeActivityType", body)
    };
    assert_eq!(describe("ship").await.code(), "UnknownResourceFault");
    let register = |name: &str, defaults| {
        sim.register_activity_type("shop", ActivityType::new(name, "1"), defaults);
    };
    register("refund", Timeouts::default());
    assert_eq!(describe("refund").await.body["configuration"], json!({}));
    let secs = |secs| Some(Duration::from_secs(secs));
    let all_four = Timeouts {
        schedule_to_start: secs(1),
        start_to_close: secs(2),
        schedule_to_close: Some(Duration::from_millis(3_900)),
        heartbeat: secs(4),
    };
    register("ship", all_four);
    // A second registration changes nothing.
    register("ship", Timeouts::default());
    let described = describe("ship").await.body;
    let kind = &described["typeInfo"]["activityType"];
    assert_eq!(kind, &json!({ "name": "ship", "version": "1" }));
    assert_eq!(described["typeInfo"]["status"], json!("REGISTERED"));
    assert_eq!(
        described["configuration"],
        json!({
            "defaultTaskScheduleToStartTimeout": "1", "defaultTaskStartToCloseTimeout": "2",
            "defaultTaskScheduleToCloseTimeout": "3", "defaultTaskHeartbeatTimeout": "4",
        })
    );
}
