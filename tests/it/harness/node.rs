//! A RabbitMQ node or a Redis of a test's own, for tests that kill, freeze or starve them.

use super::TEST_TIMEOUT;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

/// What runs in a folder of its own, by one of the scripts. Stopped when dropped.
struct Server {
    script: &'static str,
    dir: TempDir,
}

impl Server {
    fn new(script: &'static str) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        Self { script, dir }
    }

    async fn run(&self, verb: &str, args: &[&str]) -> String {
        run(self.script, self.dir.path(), verb, args).await
    }

    /// What a start tells of itself.
    async fn start(&self, args: &[&str]) -> Value {
        let told = self.run("start", args).await;
        serde_json::from_str(told.trim()).expect("one line of JSON")
    }
}

/// Runs one of the scripts on what is in a folder, and returns what it printed. The longest is the boot of a node, which may
/// take a minute and a half, twice.
pub(super) async fn run(script: &str, dir: &Path, verb: &str, args: &[&str]) -> String {
    let ran = Command::new("python3")
        .arg(path_of(script))
        .args([verb, "--dir"])
        .arg(dir)
        .args(args)
        .kill_on_drop(true)
        .output();
    let ran = timeout(TEST_TIMEOUT, ran).await;
    let ran = ran.unwrap_or_else(|_| panic!("{script} {verb} {args:?} never ended"));
    let ran = ran.expect("python3 runs");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{script} {verb} {args:?}: {said}");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = std::process::Command::new("python3")
            .arg(path_of(self.script))
            .args(["stop", "--dir"])
            .arg(self.dir.path())
            .output();
        if !stopped.is_ok_and(|stopped| stopped.status.success()) {
            let dir = self.dir.path().display();
            eprintln!("what {} started in {dir} was not stopped", self.script);
        }
    }
}

fn path_of(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(script)
}

/// A broker.
pub struct Node {
    server: Server,
    /// Its address.
    pub amqp_uri: String,
}

impl Node {
    /// Boots a node, which takes some seconds.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// As [`Node::start`], with more settings in the syntax of `rabbitmq.conf`.
    pub async fn start_with(settings: &str) -> Self {
        Self::start_with_plugins(settings, &[]).await
    }

    /// As [`Node::start_with`], with these plugins.
    pub async fn start_with_plugins(settings: &str, plugins: &[&str]) -> Self {
        let server = Server::new("rabbitmq.py");
        let more = server.dir.path().join("config/conf.d");
        std::fs::create_dir_all(&more).expect("a folder");
        std::fs::write(more.join("10-test.conf"), settings).expect("the settings can be written");
        let mut args = vec!["--plain"];
        args.extend(plugins.iter().flat_map(|plugin| ["--plugin", plugin]));
        let told = server.start(&args).await;
        let amqp_uri = told["amqp_uri"].as_str().expect("a URI").to_owned();
        Self { server, amqp_uri }
    }

    /// `kill -9`.
    pub async fn kill(&self) {
        self.server.run("kill9", &[]).await;
    }

    /// Boots again after a kill, with the same ports and data.
    pub async fn restart(&self) {
        self.server.run("restart", &[]).await;
    }

    /// Freezes the process.
    pub async fn pause(&self) {
        self.server.run("pause", &[]).await;
    }

    /// Thaws it.
    pub async fn resume(&self) {
        self.server.run("resume", &[]).await;
    }

    /// What `rabbitmqctl` prints.
    pub async fn ctl(&self, args: &[&str]) -> String {
        self.server.run("ctl", &[&["--"], args].concat()).await
    }
}

/// A Redis that keeps nothing on its disk, or a Cluster of three.
pub struct RedisServer {
    server: Server,
    pids: Vec<u64>,
    /// Its URL, or that of the first.
    pub url: String,
}

impl RedisServer {
    /// Starts one.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a Cluster.
    pub async fn cluster() -> Self {
        Self::start_with(&["--cluster"]).await
    }

    async fn start_with(args: &[&str]) -> Self {
        let server = Server::new("redis.py");
        let told = server.start(args).await;
        let url = told["urls"][0].as_str().expect("a URL").to_owned();
        let pids = told["pids"].as_array().expect("process ids");
        let pids = pids.iter().filter_map(Value::as_u64).collect();
        Self { server, pids, url }
    }

    /// Freezes the process, at once.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Thaws it.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pids = self.pids.iter().map(u64::to_string);
        let kill = std::process::Command::new("kill")
            .arg(signal)
            .args(pids)
            .status();
        assert!(kill.expect("kill runs").success());
    }

    /// `kill -9`, and a start with the same port. What it held is lost.
    pub async fn restart_empty(&self) {
        self.server.run("restart", &[]).await;
    }
}
