//! A plain HTTP client for the API of the services, and a simulator for it.

use std::time::Duration;

use activity_sim::{Options, Sim};
use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};

/// Timeout for a condition that a test waits for.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A simulator with the domain `shop`. Its polls are held longer than a test runs.
pub(crate) async fn sim() -> Sim {
    sim_holding(Duration::from_secs(60)).await
}

/// A simulator with the domain `shop`.
pub(crate) async fn sim_holding(hold: Duration) -> Sim {
    let options = Options {
        hold,
        domains: vec!["shop".to_owned()],
        ..Options::default()
    };
    Sim::start(options).await.unwrap()
}

/// A caller of actions. Each client has its own connections.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
}

/// An answer of a service.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `null` without a body.
    pub(crate) body: Value,
}

impl Answer {
    /// The error code as an SDK reads it; empty for a success.
    pub(crate) fn code(&self) -> &str {
        let kind = self.body["__type"].as_str().unwrap_or_default();
        kind.rsplit('#').next().unwrap_or_default()
    }

    /// The task token in the answer to a poll.
    pub(crate) fn token(&self) -> String {
        self.body["taskToken"].as_str().unwrap().to_owned()
    }
}

impl Client {
    pub(crate) fn new(sim: &Sim) -> Self {
        Self::of(sim, reqwest::Client::builder())
    }

    /// A client whose calls have a signature with this access key id.
    pub(crate) fn with_access_key(sim: &Sim, id: &str) -> Self {
        let signature = format!(
            "AWS4-HMAC-SHA256 Credential={id}/20260102/eu-west-1/swf/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=00"
        );
        let headers = [(AUTHORIZATION, signature.parse().unwrap())];
        let headers = headers.into_iter().collect();
        Self::of(sim, reqwest::Client::builder().default_headers(headers))
    }

    fn of(sim: &Sim, builder: reqwest::ClientBuilder) -> Self {
        // The simulator is on this machine: the calls must not go through a proxy.
        let http = builder.no_proxy().build().unwrap();
        Self {
            http,
            url: sim.url(),
        }
    }

    /// Calls an action of SWF with this body, which need not be valid.
    pub(crate) async fn send(
        &self,
        action: &str,
        body: impl Into<String>,
    ) -> reqwest::Result<Answer> {
        let target = format!("SimpleWorkflowService.{action}");
        self.send_to(&target, body).await
    }

    /// Calls the action that the target names.
    pub(crate) async fn send_to(
        &self,
        target: &str,
        body: impl Into<String>,
    ) -> reqwest::Result<Answer> {
        let request = self
            .http
            .post(format!("{}/", self.url))
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", target)
            .body(body.into());
        let response = request.send().await?;
        let status = response.status().as_u16();
        let body = response.bytes().await?;
        Ok(Answer {
            status,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        })
    }

    /// Calls an action of SWF and expects an answer.
    pub(crate) async fn call(&self, action: &str, body: Value) -> Answer {
        self.send(action, body.to_string()).await.unwrap()
    }

    /// Calls an action of Step Functions and expects an answer.
    pub(crate) async fn sfn(&self, action: &str, body: Value) -> Answer {
        let target = format!("AWSStepFunctions.{action}");
        self.send_to(&target, body.to_string()).await.unwrap()
    }

    /// Polls a task list of the domain `shop`.
    pub(crate) async fn poll(&self, task_list: &str) -> Answer {
        self.call("PollForActivityTask", poll(task_list)).await
    }

    /// Polls and expects a task; returns its token.
    pub(crate) async fn take(&self, task_list: &str) -> String {
        taken(&self.poll(task_list).await)
    }

    /// Polls an activity of Step Functions and expects a task; returns its token.
    pub(crate) async fn get(&self, arn: &str) -> String {
        let body = json!({ "activityArn": arn, "workerName": "tester" });
        taken(&self.sfn("GetActivityTask", body).await)
    }

    pub(crate) async fn succeed(&self, token: &str) -> Answer {
        let body = json!({ "taskToken": token, "output": "\"done\"" });
        self.sfn("SendTaskSuccess", body).await
    }

    pub(crate) async fn fail(&self, token: &str) -> Answer {
        let body = json!({ "taskToken": token, "error": "NoStock", "cause": "shelf 3" });
        self.sfn("SendTaskFailure", body).await
    }

    pub(crate) async fn send_heartbeat(&self, token: &str) -> Answer {
        self.sfn("SendTaskHeartbeat", json!({ "taskToken": token }))
            .await
    }

    pub(crate) async fn complete(&self, token: &str) -> Answer {
        let body = json!({ "taskToken": token, "result": "done" });
        self.call("RespondActivityTaskCompleted", body).await
    }

    pub(crate) async fn heartbeat(&self, token: &str) -> Answer {
        let body = json!({ "taskToken": token, "details": "half" });
        self.call("RecordActivityTaskHeartbeat", body).await
    }

    /// Calls the admin API.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: &str) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{path}", self.url);
        let response = self
            .http
            .request(method, url)
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        Answer {
            status,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }
}

/// The body of a poll.
pub(crate) fn poll(task_list: &str) -> Value {
    json!({ "domain": "shop", "taskList": { "name": task_list }, "identity": "tester" })
}

fn taken(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.body["taskToken"].as_str().unwrap_or_default();
    assert!(!token.is_empty(), "the poll came back empty");
    token.to_owned()
}
