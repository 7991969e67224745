//! A log that can't be written. The bridge loses its log lines and nothing else.

use crate::harness::{Answer, Route, TEST_TIMEOUT, World, command, free_port, http};
use std::{
    fs::File,
    io::{Read, pipe},
    path::Path,
    process::{ExitStatus, Stdio},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
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
    assert!(drained(&mut bridge).await.success());
}

/// Sends SIGTERM, and waits for the end.
async fn drained(bridge: &mut Child) -> ExitStatus {
    let pid = bridge.id().expect("the bridge runs").to_string();
    let kill = std::process::Command::new("kill").arg(pid).status();
    assert!(kill.expect("kill runs").success());
    let ended = timeout(TEST_TIMEOUT, bridge.wait()).await;
    ended.expect("in time").expect("a status")
}

/// A bridge with this standard error settles its tasks, answers, and drains.
async fn works(stderr: impl Into<Stdio>) {
    let world = World::new().await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let admin = format!("127.0.0.1:{}", free_port());
    let config = world.write_config("", &[Route::new("payments")]);
    let mut bridge = with_config("run", &config)
        .env("AWS_ENDPOINT_URL_SWF", world.sim.url())
        .env("ACTIVITY_BRIDGE_ADMIN__LISTEN", &admin)
        .stderr(stderr)
        .spawn()
        .expect("the bridge starts");
    // At level debug, with more lines than a pipe holds.
    world.schedule("payments", 500);
    world.until("500 settled", |s| s.completed == 500).await;
    world.assert_each_completed_once(500);
    let live = http().get(format!("http://{admin}/livez")).send().await;
    assert_eq!(live.expect("an answer").status(), 200);
    assert!(drained(&mut bridge).await.success());
}

/// A stopped `tee`, or a journal that stands still.
#[tokio::test]
async fn a_bridge_whose_log_is_a_pipe_that_nobody_reads_works_and_ends() {
    let (mut log, stderr) = pipe().expect("a pipe");
    works(stderr).await;
    let mut written = String::new();
    log.read_to_string(&mut written).expect("readable");
    assert!(written.contains("admin listening"), "{written}");
    assert!(
        !written.contains("shutting down"),
        "the pipe was never full"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_bridge_whose_log_is_on_a_full_disk_works_and_ends() {
    let full = File::options().write(true).open("/dev/full");
    works(full.expect("it is there")).await;
}

#[tokio::test]
async fn the_log_goes_on_after_a_panic_of_its_thread() {
    let world = World::new().await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let env = [("ACTIVITY_BRIDGE_PANIC_AT", "log-loop:3")];
    let mut bridge = world.bridge_in(&env, "", &[Route::new("payments")]).await;
    bridge.logged("a panic; this is a bug").await;
    world.schedule("payments", 1);
    bridge.logged(" settled ").await;
    assert!(bridge.terminate().await.success());
    assert!(bridge.log().contains("phase=\"closed\""));
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
