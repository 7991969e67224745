//! The program: its first line, its options and its exit.

use std::process::Stdio;

use crate::client::SOON;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_activity-sim"));
    command.args(args).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// Starts the program and returns it with the URL in its first line.
async fn started(args: &[&str]) -> (Child, String) {
    let mut child = program(args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(SOON, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let url = line
        .strip_prefix("activity-sim listening on ")
        .unwrap()
        .to_owned();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    (child, url)
}

#[tokio::test]
async fn it_prints_its_address_and_exits_with_0_on_a_signal() {
    for signal in ["TERM", "INT"] {
        let (mut child, url) = started(&[
            "--hold-secs",
            "0.1",
            "--domain",
            "shop",
            "--domain",
            "bank",
            "--activity",
            "a",
            "--activity",
            "b",
        ])
        .await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let call = async |target: &str, body: String| {
            let call = http.post(&url).header("x-amz-target", target).body(body);
            call.send().await.unwrap().status().as_u16()
        };
        for (domain, status) in [("shop", 200), ("bank", 200), ("none", 400)] {
            let body = format!(r#"{{"domain": "{domain}", "taskList": {{"name": "list"}}}}"#);
            let target = "SimpleWorkflowService.PollForActivityTask";
            assert_eq!(call(target, body).await, status, "{domain}");
        }
        for (name, status) in [("a", 200), ("b", 200), ("none", 400)] {
            let arn = activity_sim::activity_arn(name);
            let body = format!(r#"{{"activityArn": "{arn}"}}"#);
            assert_eq!(
                call("AWSStepFunctions.GetActivityTask", body).await,
                status,
                "{name}"
            );
        }
        let kill = format!("kill -{signal} {}", child.id().unwrap());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .await
                .unwrap()
                .success()
        );
        let status = tokio::time::timeout(SOON, child.wait())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(status.code(), Some(0), "after SIG{signal}");
    }
}

#[tokio::test]
async fn it_reports_an_address_in_use() {
    let (_child, url) = started(&[]).await;
    let address = url.trim_start_matches("http://");
    let output = program(&["--listen", address])
        .stderr(Stdio::piped())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
}
