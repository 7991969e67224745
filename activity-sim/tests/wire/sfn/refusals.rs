//! The calls that Step Functions refuses, and the fault of each.

use activity_sim::{Options, Schedule, Sim};
use serde_json::{Value, json};

use super::sim;
use crate::client::Client;

const INVALID: &str = "ValidationException";

/// A text of this many characters, each of more than one byte.
fn text(length: usize) -> String {
    "ü".repeat(length)
}

#[tokio::test]
async fn every_limit_is_checked() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    sim.schedule(Schedule::activity(&arn));
    let token = client.get(&arn).await;
    let long_arn = format!("{arn}{}", "x".repeat(257 - arn.len()));
    let none = activity_sim::activity_arn("none");
    let execution = &sim.executions()[0].arn;
    for (action, body, code) in [
        ("GetActivityTask", json!({}), INVALID),
        ("GetActivityTask", json!({ "activityArn": "" }), INVALID),
        (
            "GetActivityTask",
            json!({ "activityArn": long_arn }),
            INVALID,
        ),
        (
            "GetActivityTask",
            json!({ "activityArn": "charge" }),
            "InvalidArn",
        ),
        (
            "GetActivityTask",
            json!({ "activityArn": execution }),
            "InvalidArn",
        ),
        (
            "GetActivityTask",
            json!({ "activityArn": none }),
            "ActivityDoesNotExist",
        ),
        (
            "GetActivityTask",
            json!({ "activityArn": arn, "workerName": "" }),
            INVALID,
        ),
        (
            "GetActivityTask",
            json!({ "activityArn": arn, "workerName": text(81) }),
            INVALID,
        ),
        (
            "DescribeActivity",
            json!({ "activityArn": "x" }),
            "InvalidArn",
        ),
        (
            "DescribeActivity",
            json!({ "activityArn": none }),
            "ActivityDoesNotExist",
        ),
        ("SendTaskSuccess", json!({ "taskToken": token }), INVALID),
        (
            "SendTaskSuccess",
            output(&token, &format!("\"{}\"", text(131_072))),
            INVALID,
        ),
        ("SendTaskSuccess", output(&token, ""), "InvalidOutput"),
        ("SendTaskSuccess", output(&token, "done"), "InvalidOutput"),
        ("SendTaskSuccess", output(&token, "1 2"), "InvalidOutput"),
        ("SendTaskSuccess", output("x", "done"), "InvalidToken"),
        (
            "SendTaskFailure",
            json!({ "taskToken": token, "error": text(257) }),
            INVALID,
        ),
        (
            "SendTaskFailure",
            json!({ "taskToken": token, "cause": text(32_769) }),
            INVALID,
        ),
        ("StartExecution", json!({}), "UnknownOperationException"),
        (
            "PollForActivityTask",
            json!({}),
            "UnknownOperationException",
        ),
        ("GetActivityTask", json!([]), "SerializationException"),
        (
            "GetActivityTask",
            json!({ "activityArn": 3 }),
            "SerializationException",
        ),
    ] {
        let answer = client.sfn(action, body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, code),
            "{action}: {answer:?}"
        );
    }
    assert_eq!(sim.tasks()[0].late_calls, 0);
    let longest = json!({ "taskToken": token, "error": text(256), "cause": text(32_768) });
    assert_eq!(client.sfn("SendTaskFailure", longest).await.status, 200);
    sim.schedule(Schedule::activity(&arn));
    let longest = json!({ "activityArn": arn, "workerName": text(80) });
    assert_eq!(client.sfn("GetActivityTask", longest).await.status, 200);
}

fn output(token: &str, output: &str) -> Value {
    json!({ "taskToken": token, "output": output })
}

#[tokio::test]
async fn every_call_with_a_token_checks_it() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    sim.schedule(Schedule::activity(&arn));
    let token = client.get(&arn).await;
    let other = super::sim().await;
    other.0.schedule(Schedule::activity(&arn));
    let foreign = Client::new(&other.0).get(&arn).await;
    sim.reset();
    for action in ["SendTaskHeartbeat", "SendTaskSuccess", "SendTaskFailure"] {
        for (token, code) in [
            (Value::Null, INVALID),
            (json!(""), INVALID),
            (json!("x".repeat(2_049)), INVALID),
            (json!("x".repeat(2_048)), "InvalidToken"),
            (json!(&token[1..]), "InvalidToken"),
            // A token from before a reset, and a token of another simulator.
            (json!(token), "TaskDoesNotExist"),
            (json!(foreign), "TaskDoesNotExist"),
        ] {
            let body = json!({ "taskToken": token, "output": "1" });
            let answer = client.sfn(action, body).await;
            assert_eq!(
                (answer.status, answer.code()),
                (400, code),
                "{action} {token}"
            );
        }
    }
}

#[tokio::test]
async fn faults_have_the_names_of_the_service() {
    let (sim, _) = sim().await;
    let client = Client::new(&sim);
    let token = json!({ "taskToken": "x" });
    let invalid = client.sfn("SendTaskHeartbeat", token).await.body;
    assert_eq!(
        invalid,
        json!({
            "__type": "com.amazonaws.swf.service.v2.model#InvalidToken",
            "message": "Invalid Token: 'Invalid token'",
        })
    );
    let missing = client.sfn("SendTaskHeartbeat", json!({})).await.body;
    assert_eq!(
        missing["__type"],
        json!("com.amazon.coral.validate#ValidationException")
    );
}

#[tokio::test]
async fn a_forbidden_activity_refuses_every_call_for_it() {
    let (sim, arn) = sim().await;
    let client = Client::new(&sim);
    sim.schedule(Schedule::activity(&arn));
    let token = client.get(&arn).await;
    let body = json!({ "activity_arn": arn }).to_string();
    assert_eq!(
        client.admin("POST", "/_sim/forbid", &body).await.status,
        200
    );
    for (action, body) in [
        ("GetActivityTask", json!({ "activityArn": arn })),
        ("DescribeActivity", json!({ "activityArn": arn })),
        ("SendTaskHeartbeat", json!({ "taskToken": token })),
        ("SendTaskSuccess", output(&token, "1")),
        ("SendTaskFailure", json!({ "taskToken": token })),
    ] {
        let answer = client.sfn(action, body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "AccessDeniedException"),
            "{action}"
        );
    }
    sim.permit_activity(&arn);
    assert_eq!(client.succeed(&token).await.status, 200);
}

#[tokio::test]
async fn too_many_open_polls_are_refused() {
    let options = Options {
        max_open_polls: 1,
        activities: vec!["charge".to_owned(), "ship".to_owned()],
        ..Options::default()
    };
    let sim = Sim::start(options).await.unwrap();
    let [charge, ship] = ["charge", "ship"].map(activity_sim::activity_arn);
    let client = Client::new(&sim);
    let poll = {
        let (client, charge) = (client.clone(), charge.clone());
        tokio::spawn(async move { client.get(&charge).await })
    };
    sim.wait_until(crate::client::SOON, |s| s.open_polls == 1)
        .await
        .unwrap();
    let refused = client
        .sfn("GetActivityTask", json!({ "activityArn": charge }))
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (400, "ActivityWorkerLimitExceeded")
    );
    // Another activity has a limit of its own.
    sim.schedule(Schedule::activity(&ship));
    client.get(&ship).await;
    sim.schedule(Schedule::activity(&charge));
    poll.await.unwrap();
}

#[tokio::test]
#[should_panic(expected = "no activity \"charge\"")]
async fn an_execution_of_an_unknown_activity_panics() {
    sim().await.0.schedule(Schedule::activity("charge"));
}

#[tokio::test]
async fn an_activity_with_an_invalid_name_is_refused() {
    let options = Options {
        activities: vec!["a b".to_owned()],
        ..Options::default()
    };
    let error = Sim::start(options).await.unwrap_err();
    assert!(error.to_string().contains("\"a b\""), "{error}");
}
