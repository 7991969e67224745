//! A Redis of the tests' own.

use crate::harness::{Kind, eventually};
use activity_bridge::store::redis::RedisConfig;
use redis::{
    AsyncConnectionConfig, Client, aio::MultiplexedConnection, cluster::ClusterClientBuilder,
};
use std::{path::Path, process::Command, sync::OnceLock, time::Duration};
use tempfile::TempDir;

/// How long what goes past the stores waits.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Where no server is to count as failed because it stood still.
pub const PATIENT_CLUSTER: &str = "cluster-node-timeout 15000";

/// A server, or the three of a Cluster. Stopped when dropped, and in any case when the process of the tests has ended.
pub struct Server {
    dir: TempDir,
    /// The addresses.
    pub urls: Vec<String>,
    pub cluster: bool,
}

impl Server {
    /// For tests that leave it as they found it, but for keys under a prefix of their own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// The same, a Redis Cluster.
    pub fn shared_cluster() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_kind(Kind::Cluster, &[PATIENT_CLUSTER]))
    }

    /// With more lines for `redis.conf`.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_kind(Kind::Redis, settings)
    }

    /// For a store of this kind.
    pub fn start_kind(kind: Kind, settings: &[&str]) -> Self {
        let cluster = kind == Kind::Cluster;
        // The script that watches over the servers removes a folder of this name.
        let dir = tempfile::Builder::new()
            .prefix("activity-bridge-redis-")
            .tempdir()
            .expect("a temporary folder");
        let owner = std::process::id().to_string();
        let mut args = vec!["--owner", &owner];
        args.extend(cluster.then_some("--cluster"));
        args.extend(settings.iter().flat_map(|line| ["--set", line]));
        let told = run("start", dir.path(), &args);
        let told: serde_json::Value = serde_json::from_str(&told).expect("one line of JSON");
        let urls = told["urls"].as_array().expect("a list").iter();
        let urls = urls.map(|url| url.as_str().expect("a URL").to_owned());
        Self {
            urls: urls.collect(),
            dir,
            cluster,
        }
    }

    /// `kill -9`.
    pub fn kill(&self) {
        run("kill9", self.dir.path(), &[]);
    }

    /// Starts it again, with what is on its disk.
    pub fn restart(&self) {
        run("restart", self.dir.path(), &[]);
    }

    /// Freezes it.
    pub fn pause(&self) {
        run("pause", self.dir.path(), &[]);
    }

    /// Thaws it.
    pub fn resume(&self) {
        run("resume", self.dir.path(), &[]);
    }

    /// `kill -9` for one server of a Cluster.
    pub fn kill_one(&self, node: &str) {
        run("kill9", &self.dir.path().join(node), &[]);
    }

    /// Starts that one again, with what is on its disk.
    pub fn restart_one(&self, node: &str) {
        run("restart", &self.dir.path().join(node), &[]);
    }

    /// The name of the server of a Cluster that has this key.
    pub async fn node_of(&self, key: &str) -> String {
        let redis::Value::Int(slot) = self.ask(&["CLUSTER", "KEYSLOT", key]).await else {
            panic!("no slot");
        };
        let nodes = i64::try_from(self.urls.len()).expect("a few");
        let is_before_the_end = |node: &i64| slot < 16_384 * node / nodes;
        let node = (1..=nodes).find(is_before_the_end);
        node.expect("one of them").to_string()
    }

    /// What there is under a prefix: the names of the keys, without those that expire.
    pub async fn keys(&self, prefix: &str) -> (usize, Vec<String>) {
        let (mut all, mut lasting) = (0, Vec::new());
        for url in &self.urls {
            let mut connection = connect(url).await;
            let mut keys = redis::cmd("KEYS");
            let keys = keys.arg(format!("{prefix}:*"));
            let keys: Vec<String> = keys.query_async(&mut connection).await.expect("told");
            all += keys.len();
            for key in keys {
                let mut pttl = redis::cmd("PTTL");
                let left: i64 = pttl
                    .arg(&key)
                    .query_async(&mut connection)
                    .await
                    .expect("told");
                // Not those that have expired just now.
                if left == -1 {
                    lasting.push(key[prefix.len() + 1..].to_owned());
                }
            }
        }
        lasting.sort();
        (all, lasting)
    }

    /// Sends a command to each server.
    pub async fn tell_each(&self, words: &[&str]) {
        for url in &self.urls {
            let mut cmd = redis::cmd(words[0]);
            let told = cmd.arg(&words[1..]);
            let told = told.exec_async(&mut connect(url).await).await;
            told.unwrap_or_else(|error| panic!("{words:?}: {error}"));
        }
    }

    /// Has the servers of a Cluster tell clients these ports instead of their own.
    pub async fn announces(&self, ports: &[u16]) {
        for (url, port) in self.urls.iter().zip(ports) {
            let mut set = redis::cmd("CONFIG");
            let set = set.arg("SET").arg("cluster-announce-port").arg(port);
            let set = set.exec_async(&mut connect(url).await).await;
            set.expect("set");
        }
        for url in &self.urls {
            let mut connection = connect(url).await;
            eventually("all ports being known to each server", async || {
                let mut nodes = redis::cmd("CLUSTER");
                let nodes = nodes.arg("NODES").query_async(&mut connection).await;
                let nodes: String = nodes.expect("told");
                let known = |port| nodes.contains(&format!(":{port}@"));
                ports.iter().all(known).then_some(())
            })
            .await;
        }
    }

    /// Sends a command past the stores.
    pub async fn ask(&self, words: &[&str]) -> redis::Value {
        let mut cmd = redis::cmd(words[0]);
        let cmd = cmd.arg(&words[1..]);
        let answer = if self.cluster {
            let client = ClusterClientBuilder::new(self.urls.clone())
                .connection_timeout(TEST_TIMEOUT)
                .response_timeout(TEST_TIMEOUT)
                .build();
            let client = client.expect("URLs");
            let mut connection = client.get_async_connection().await.expect("connected");
            cmd.query_async(&mut connection).await
        } else {
            cmd.query_async(&mut connect(&self.urls[0]).await).await
        };
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        run("stop", self.dir.path(), &[]);
    }
}

async fn connect(url: &str) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TEST_TIMEOUT))
        .set_response_timeout(Some(TEST_TIMEOUT));
    let client = Client::open(url).expect("a URL");
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.expect("connected")
}

/// A configuration with a prefix of its own.
pub fn redis_config(server: &Server) -> RedisConfig {
    let urls = server.urls.iter();
    let urls = urls.map(|url| url.parse().expect("a URL")).collect();
    let prefix = format!("test/{}", activity_bridge::task::TaskId::random().reveal());
    RedisConfig::at(urls, server.cluster, prefix)
}

fn run(verb: &str, dir: &Path, args: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/redis.py");
    let ran = Command::new("python3")
        .args([script, verb, "--dir"])
        .arg(dir)
        .args(args)
        .output()
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "redis.py {verb}: {said}");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}
