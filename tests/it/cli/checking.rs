//! The options of `check`, and its rows about more than what a configuration names. No broker is needed: the bridge is one.

use super::{Ended, check, ended};
use crate::harness::{Route, TEST_TIMEOUT, World, eventually};
use axum::{
    Router,
    http::{StatusCode, header::DATE},
    routing::get,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    time::timeout,
};

/// Writes a configuration for a bridge that is the broker, and has its tasks in this folder.
fn written(world: &World, tasks: &Path, more: &str) -> PathBuf {
    let path = world.dir().join("checked.toml");
    let text = format!(
        "[amqp]\nparked_path = {:?}\n[store]\npath = {:?}\n[admin]\nlisten = \"127.0.0.1:0\"\n[[routes]]\nname = \"payments\"\nqueue = \"payments\"\n\
         swf = {{ domain = \"shop\", task_list = \"payments\" }}\n{more}",
        world.dir().join("parked"),
        tasks.join("tasks.redb")
    );
    std::fs::write(&path, text).expect("written");
    path
}

fn online(world: &World, config: &Path, words: &[&str]) -> tokio::process::Command {
    let mut command = check(config);
    command
        .arg("--online")
        .args(words)
        .env("AWS_ENDPOINT_URL_SWF", world.sim.url());
    command
}

#[tokio::test]
async fn each_failure_names_a_section_and_json_has_the_same_rows() {
    let world = World::new().await;
    let missing = world.dir().join("missing");
    let config = written(&world, &missing, "");
    let said = ended(online(&world, &config, &[])).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    said.assert_row("token store file", "FAIL", "is not there");
    let next = said
        .out
        .lines()
        .skip_while(|row| !row.starts_with("FAIL  token store"))
        .nth(1);
    assert_eq!(next, Some("      see docs/token-stores.md#the-file"));
    said.assert_row("clock", "ok", "within 30 s of AWS's");
    said.assert_row("open files", "", "limit");

    let json = ended(online(&world, &config, &["--json"])).await;
    assert_eq!(json.code, Some(1), "{}", json.out);
    let json: Value = serde_json::from_str(&json.out).expect("JSON and nothing else");
    assert_eq!(json["passed"], false);
    let rows = json["rows"].as_array().expect("a list");
    let row = |what: &str| rows.iter().find(|row| row["what"] == what).expect("a row");
    assert_eq!(
        row("token store file")["see"],
        "docs/token-stores.md#the-file"
    );
    assert_eq!(row("clock")["mark"], "ok");
    let count = said.out.lines().filter(|row| !row.starts_with(' ')).count();
    assert_eq!(rows.len(), count, "{}", said.out);
}

#[tokio::test]
async fn a_note_fails_only_a_strict_check() {
    let world = World::new().await;
    let unknown = "heartbeat = { discover = false }";
    let config = written(&world, world.dir(), unknown);
    for (words, code) in [(&[][..], 0), (&["--strict"], 1)] {
        let mut command = check(&config);
        command.args(words);
        let said = ended(command).await;
        said.assert_row(
            "route payments  ",
            "note",
            "heartbeat.timeout_secs is not set",
        );
        assert_eq!(said.code, Some(code), "{words:?}: {}", said.out);
    }
}

#[tokio::test]
async fn a_check_that_waits_passes_when_what_it_needs_is_there_and_prints_once() {
    let world = World::new().await;
    let folder = world.dir().join("later");
    let config = written(&world, &folder, "");
    let mut command = online(&world, &config, &["--wait", "60"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut progress = BufReader::new(child.stderr.take().expect("piped")).lines();
    let first = timeout(TEST_TIMEOUT, progress.next_line()).await;
    let first = first.expect("in time").expect("readable").expect("a line");
    let expected = "activity-bridge: not yet: token store file; the next round is in ";
    assert!(first.starts_with(expected), "{first}");
    std::fs::create_dir(&folder).expect("created");
    let output = timeout(TEST_TIMEOUT, child.wait_with_output()).await;
    let output = output.expect("in time").expect("it ran");
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert_eq!(out.matches("token store file").count(), 1, "{out}");
}

#[tokio::test]
async fn a_check_that_waits_ends_with_what_is_left() {
    let world = World::new().await;
    let config = written(&world, &world.dir().join("never"), "");
    let said = ended(online(&world, &config, &["--wait", "2"])).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    said.assert_row("token store file", "FAIL", "is not there");
}

#[tokio::test]
async fn a_wrong_clock_is_told_where_no_credentials_are_found() {
    let world = World::new().await;
    let config = written(&world, world.dir(), "");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let agent = format!("http://{}/role", listener.local_addr().expect("bound"));
    let answer = || async {
        (
            StatusCode::FORBIDDEN,
            [(DATE, "Sun, 06 Nov 1994 08:49:37 GMT")],
        )
    };
    let app = Router::new().route("/role", get(answer));
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut command = online(&world, &config, &[]);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", world.dir());
    let said = ended(command).await;
    serving.abort();
    said.assert_row("AWS credentials", "FAIL", "");
    said.assert_row("clock", "FAIL", "s ahead of AWS's, and AWS refuses calls");
}

#[tokio::test]
async fn a_proxy_is_told_without_its_password_and_one_that_is_not_used_is_a_note() {
    let world = World::new().await;
    let config = written(&world, world.dir(), "");
    let mut command = online(&world, &config, &[]);
    command
        .env("HTTPS_PROXY", "http://me:hunter2@proxy.example:3128")
        .env("ALL_PROXY", "socks5://me:hunter2@proxy.example:1080");
    let said = ended(command).await;
    let proxy = "http://proxy.example:3128 (HTTPS_PROXY)";
    said.assert_row("proxy for https", "ok", proxy);
    said.assert_row(
        "proxy for other",
        "note",
        "ALL_PROXY is not the URL of an HTTP proxy",
    );
    assert!(!said.out.contains("hunter2"), "{}", said.out);
}

/// Checks until there is a row about the polls of this route.
async fn polls(world: &World, config: &Path, admin: &str, route: &str) -> Ended {
    eventually("a row about polls", || async {
        let mut command = online(world, config, &[]);
        command.env("ACTIVITY_BRIDGE_ADMIN__LISTEN", admin);
        let said = ended(command).await;
        let has = said.out.contains(&format!("route {route}: polls"));
        has.then_some(said)
    })
    .await
}

#[tokio::test]
async fn of_polls_only_what_aws_has_answered_to_the_running_bridge_is_said() {
    let world = World::with_hold(Duration::from_millis(200)).await;
    world.sim.add_domain("vault");
    world.sim.forbid("vault");
    let polled = "poll_without_consumers = true\nmax_ready = 10";
    let routes = [
        Route::new("payments").with(polled),
        Route::new("secrets").domain("vault").with(polled),
    ];
    let config = world.write_config("", &routes);
    let nobody = ended(online(&world, &config, &[])).await;
    assert!(!nobody.out.contains(": polls"), "{}", nobody.out);

    let bridge = world.bridge(&routes).await;
    let said = polls(&world, &config, bridge.admin_addr(), "payments").await;
    said.assert_row("route payments: polls", "ok", "AWS has answered ");
    let said = polls(&world, &config, bridge.admin_addr(), "secrets").await;
    said.assert_row("route secrets: polls", "note", "OperationNotPermittedFault");
}
