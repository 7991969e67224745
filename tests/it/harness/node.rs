//! A RabbitMQ node of a test's own, for tests that kill, freeze or starve the broker.

use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;
use tokio::process::Command;

/// Stopped when dropped.
pub struct Node {
    dir: TempDir,
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
        let dir = TempDir::new().expect("a temporary folder");
        let more = dir.path().join("config/conf.d");
        std::fs::create_dir_all(&more).expect("a folder");
        std::fs::write(more.join("10-test.conf"), settings).expect("the settings can be written");
        let told = run("start", dir.path(), &["--json"]).await;
        let told: Value = serde_json::from_str(told.trim()).expect("one line of JSON");
        let amqp_uri = told["amqp_uri"].as_str().expect("a URI").to_owned();
        Self { dir, amqp_uri }
    }

    /// `kill -9`.
    pub async fn kill(&self) {
        run("kill9", self.dir.path(), &[]).await;
    }

    /// Boots again after a kill, with the same ports and data.
    pub async fn restart(&self) {
        run("restart", self.dir.path(), &[]).await;
    }

    /// Freezes the process.
    pub async fn pause(&self) {
        run("pause", self.dir.path(), &[]).await;
    }

    /// Thaws it.
    pub async fn resume(&self) {
        run("resume", self.dir.path(), &[]).await;
    }

    /// `rabbitmqctl`.
    pub async fn ctl(&self, args: &[&str]) {
        run("ctl", self.dir.path(), &[&["--"], args].concat()).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let stopped = std::process::Command::new("python3")
            .args([script(), "stop", "--dir"])
            .arg(self.dir.path())
            .output();
        if !stopped.is_ok_and(|stopped| stopped.status.success()) {
            eprintln!(
                "a RabbitMQ node in {} was not stopped",
                self.dir.path().display()
            );
        }
    }
}

fn script() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/rabbitmq.py")
}

async fn run(verb: &str, dir: &Path, args: &[&str]) -> String {
    let ran = Command::new("python3")
        .args([script(), verb, "--dir"])
        .arg(dir)
        .args(args)
        .output()
        .await
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "rabbitmq.py {verb}: {said}");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}
