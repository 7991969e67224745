//! A store of each kind, in a place of its own, and tasks to put into it.

use crate::redis::{Server, redis_config};
use activity_bridge::{
    broker::Durability,
    store::redis::RedisConfig,
    store::{Claim, FileStore, MemoryStore, OwnRoute, Record, RedisStore, Store, StoreError},
    task::{HeaderValue, Input, SourceKind, Task, TaskId, TaskToken, Timeout, Timeouts},
};
use futures_util::future::join_all;
use std::{
    iter::repeat_with,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// The kinds of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Memory,
    File,
    Redis,
    Cluster,
}

impl Kind {
    /// Whether the records outlive the process.
    pub fn lasts(self) -> bool {
        match self {
            Self::Memory => false,
            Self::File | Self::Redis | Self::Cluster => true,
        }
    }
}

/// Where a store has its records. What is opened here one after the other has the same.
pub struct Place {
    kind: Kind,
    folder: TempDir,
    redis: Option<RedisConfig>,
}

impl Place {
    pub fn new(kind: Kind) -> Self {
        let server = match kind {
            Kind::Memory | Kind::File => None,
            Kind::Redis => Some(Server::shared()),
            Kind::Cluster => Some(Server::shared_cluster()),
        };
        Self {
            kind,
            folder: tempfile::tempdir().expect("a folder"),
            redis: server.map(redis_config),
        }
    }

    /// Opens the store, as a process does when it starts.
    pub async fn open(&self) -> Arc<dyn Store> {
        match self.kind {
            Kind::Memory => Arc::new(MemoryStore::new(Durability::Durable)),
            Kind::File => Arc::new(FileStore::open(&self.file()).expect("the store opens")),
            Kind::Redis | Kind::Cluster => {
                let config = self.redis.as_ref().expect("it has a server");
                let opened = RedisStore::open(config, vec![payments()]).await;
                Arc::new(opened.expect("the store opens"))
            }
        }
    }

    /// Closes the store, and opens it as the next process would.
    pub async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store.close().await;
        drop(store);
        self.open().await
    }

    /// The prefix of the keys of a store in Redis.
    pub fn prefix(&self) -> &str {
        &self.redis.as_ref().expect("it has a server").prefix
    }

    /// The file of a store that has one.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("tasks.redb")
    }
}

/// What is known of a task's timeouts when it is polled.
pub const POLLED: Timeouts = Timeouts {
    heartbeat: Timeout::Unknown,
    start_to_close: Timeout::After(Duration::from_secs(3600)),
};

/// What was learnt later.
pub const LEARNT: Timeouts = Timeouts {
    heartbeat: Timeout::Usually(Duration::from_millis(90_500)),
    start_to_close: Timeout::Never,
};

/// A route of this name that polls SWF.
pub fn own_route(name: &str) -> OwnRoute {
    OwnRoute {
        name: name.to_owned(),
        source: SourceKind::Swf,
    }
}

/// The route of most tasks here.
pub fn payments() -> OwnRoute {
    own_route("payments")
}

/// A task that was polled at this moment, give or take a millisecond.
pub fn task() -> Task {
    let id = TaskId::random();
    Task {
        id,
        // As long as a usual one of SWF.
        token: TaskToken::new(&format!("{id}{}", "t".repeat(568))).expect("not empty"),
        activity: "charge a «card»".to_owned(),
        input: Input::from(r#"{"n": [1, "\u00e9 \" \\"], "€": null}"#.to_owned()),
        headers: vec![
            ("domain".into(), HeaderValue::Text("shop\n\"€\"".to_owned())),
            ("attempt".into(), HeaderValue::Integer(i64::MIN)),
            ("empty".into(), HeaderValue::Text(String::new())),
        ],
        polled_at: UNIX_EPOCH + Duration::from_millis(now_millis()),
        timeouts: POLLED,
    }
}

fn now_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.expect("after 1970").as_millis()).expect("not that far in the future")
}

/// Inserts so many tasks for the route `payments`, up to five hundred at once.
pub async fn insert(store: &dyn Store, count: usize) -> Vec<Task> {
    let tasks: Vec<_> = repeat_with(task).take(count).collect();
    let insert = async |task| insist(async || store.insert(&payments(), task).await).await;
    for some in tasks.chunks(500) {
        join_all(some.iter().map(insert)).await;
    }
    tasks
}

/// All that the store hands out, page by page. It may take a while until there are so many: where the process before could
/// not say that it has left, its lease runs out first.
pub async fn adopt_all(store: &dyn Store, most: usize, count: usize) -> Vec<Record> {
    let mut all = Vec::new();
    loop {
        let next = async || {
            let page = store.adopt(most).await.ok()?;
            (!page.is_empty() || all.len() >= count).then_some(page)
        };
        let page = eventually("enough tasks to adopt", next).await;
        assert!(page.len() <= most, "{} are more than {most}", page.len());
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Of these tasks the ones whose end is remembered, sorted. A store that is shared is asked for each.
pub async fn remembered(store: &dyn Store, tasks: &[TaskId]) -> Vec<TaskId> {
    let told = insist(async || store.ended(100).await).await;
    let Some(shared) = store.shared() else {
        return ids(&told, |id| *id);
    };
    assert!(told.is_empty(), "it is asked instead");
    let mut ended = Vec::new();
    for id in tasks {
        let told = async || shared.claim(*id).await.ok();
        if let Claim::Ended = eventually("it is sure", told).await {
            ended.push(*id);
        }
    }
    ids(&ended, |id| *id)
}

/// The ids, sorted.
pub fn ids<'a, T: 'a>(
    of: impl IntoIterator<Item = &'a T>,
    id: impl Fn(&T) -> TaskId,
) -> Vec<TaskId> {
    let mut ids: Vec<_> = of.into_iter().map(id).collect();
    ids.sort_unstable();
    ids
}

/// Waits for what must come within a minute.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Asks until there is an answer: a call gives up where this process stood still meanwhile, and may be repeated.
pub async fn insist<T>(mut ask: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    eventually("an answer", async || ask().await.ok()).await
}

/// Waits until nothing is wrong with the store. Where nobody looks after its lease, this does.
pub async fn well(store: &dyn Store) {
    eventually("no trouble", async || {
        if let Some(shared) = store.shared() {
            let _ = shared.renew().await;
        }
        store.unavailable().is_none().then_some(())
    })
    .await;
}
