//! A log that can't be written. The bridge loses its log lines and nothing else.

use crate::harness::{Answer, Route, TEST_TIMEOUT, World, command};
use std::{io::pipe, path::Path};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

fn with_config(subcommand: &str, config: &Path) -> Command {
    let mut command = command();
    command.args([subcommand, "--config"]).arg(config);
    command
}

#[tokio::test]
async fn a_bridge_whose_log_has_no_reader_settles_its_tasks_and_drains() {
    let world = World::new().await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    // The tests' configurations log at level debug.
    let config = world.write_config("", &[Route::new("payments")]);
    let (log, stderr) = pipe().expect("a pipe");
    let mut bridge = with_config("run", &config)
        .env("AWS_ENDPOINT_URL_SWF", world.sim.url())
        .stderr(stderr)
        .spawn()
        .expect("the bridge starts");
    let log = tokio::fs::File::from_std(std::os::fd::OwnedFd::from(log).into());
    let mut lines = BufReader::new(log).lines();
    loop {
        let line = timeout(TEST_TIMEOUT, lines.next_line()).await;
        let line = line.expect("in time").expect("readable");
        if line.expect("a line").contains("admin listening") {
            break;
        }
    }
    drop(lines);

    world.schedule("payments", 20);
    world.until("20 settled", |s| s.completed == 20).await;
    world.assert_each_completed_once(20);
    let pid = bridge.id().expect("the bridge runs").to_string();
    let kill = std::process::Command::new("kill").arg(pid).status();
    assert!(kill.expect("kill runs").success());
    let ended = timeout(TEST_TIMEOUT, bridge.wait()).await;
    assert!(ended.expect("in time").expect("a status").success());
}

/// The exit code is what is left.
#[tokio::test]
async fn errors_that_nobody_reads_have_the_same_exit_codes() {
    let world = World::new().await;
    let absent = world.dir().join("absent.toml");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("an address");
    let config = world.write_config("", &[Route::new("payments")]);
    for (code, config, listen) in [
        (78, &absent, String::new()),
        (1, &config, taken.to_string()),
    ] {
        let (log, stderr) = pipe().expect("a pipe");
        drop(log);
        let mut bridge = with_config("run", config);
        if !listen.is_empty() {
            bridge.env("ACTIVITY_BRIDGE_ADMIN__LISTEN", listen);
        }
        let mut bridge = bridge.stderr(stderr).spawn().expect("it starts");
        let ended = timeout(TEST_TIMEOUT, bridge.wait()).await;
        assert_eq!(
            ended.expect("in time").expect("a status").code(),
            Some(code)
        );
    }
}
