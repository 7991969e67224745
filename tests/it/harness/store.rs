//! Where the bridges of a world keep their tasks.

use super::{TEST_TIMEOUT, World, eventually};
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use std::{ffi::OsStr, path::Path};

/// The table of a world that says nothing of it.
pub(super) const MEMORY: &str = "kind = \"memory\"";

/// A token store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It forgets with the process.
    Memory,
    /// A file in the world's folder.
    File,
    /// Under keys of the world's own, at the server that all tests share.
    Redis,
}

impl World {
    /// With tasks kept in this store.
    pub fn kept_in(self, store: Store) -> Self {
        match store {
            Store::Memory => self.with_store(MEMORY.to_owned()),
            Store::File => {
                let path = self.dir().join("tasks.redb");
                self.kept_in_file(&path)
            }
            Store::Redis => {
                let url = super::env("REDIS_URL");
                self.kept_at_redis(&url)
            }
        }
    }

    /// With tasks kept in this file.
    pub fn kept_in_file(self, path: &Path) -> Self {
        self.with_store(format!("kind = \"file\"\npath = {path:?}"))
    }

    /// With tasks kept at this server.
    pub fn kept_at_redis(self, url: &str) -> Self {
        let prefix = self.prefix();
        let store = format!("kind = \"redis\"\nurl = \"{url}\"\nprefix = \"{prefix}\"");
        self.with_store(store)
    }

    /// What the world's keys in a Redis begin with.
    pub fn prefix(&self) -> &str {
        let prefix = self.dir().file_name().and_then(OsStr::to_str);
        prefix.expect("a folder of its own")
    }

    /// A connection to the server that all tests share.
    pub async fn redis(&self) -> MultiplexedConnection {
        let client = redis::Client::open(super::env("REDIS_URL")).expect("a URL");
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TEST_TIMEOUT))
            .set_response_timeout(Some(TEST_TIMEOUT));
        let connection = client.get_multiplexed_async_connection_with_config(&patient);
        connection.await.expect("connected")
    }

    /// Whether no process has a task in the Redis that all tests share, if that is where the tasks are kept.
    pub async fn has_no_records(&self) -> bool {
        self.records().await == 0
    }

    /// Waits until all processes together have so many tasks in the Redis that all tests share.
    pub async fn has_records(&self, count: usize) {
        eventually(&format!("{count} records"), || async {
            (self.records().await == count).then_some(())
        })
        .await;
    }

    /// How many tasks all processes together have in the Redis that all tests share.
    async fn records(&self) -> usize {
        let mut redis = self.redis().await;
        let mut keys = redis::cmd("KEYS");
        let keys = keys.arg(format!("{}:owner:*:tasks", self.prefix()));
        let sets: Vec<String> = keys.query_async(&mut redis).await.expect("asked");
        let mut records = 0;
        for set in sets {
            let count: usize = redis::cmd("SCARD")
                .arg(set)
                .query_async(&mut redis)
                .await
                .expect("counted");
            records += count;
        }
        records
    }

    /// With tasks kept in this Cluster.
    pub fn kept_in_cluster(self, url: &str) -> Self {
        let mut world = self.kept_at_redis(url);
        world.store.push_str("\ncluster = true");
        world
    }

    fn with_store(self, store: String) -> Self {
        Self { store, ..self }
    }
}
