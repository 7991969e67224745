//! One of the processes that share a store.

use crate::harness::{Kind, eventually, insist, own_route, payments};
use activity_bridge::{
    store::redis::RedisConfig,
    store::{
        Claim, Forwarded, Note, PeerEvent, RENEW_INTERVAL, Record, RedisStore, Renewal, Shared,
        Store,
    },
    task::{SourceKind, Task, TaskId},
};
use std::{
    ops::Deref,
    sync::{Arc, Mutex},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, interval},
};

/// A store, and what looks after its lease.
pub struct Replica {
    store: Arc<RedisStore>,
    seen: Arc<Mutex<Seen>>,
    looking: Option<JoinHandle<()>>,
}

/// The record of a task that was published, as a process has it in memory.
pub fn record(task: &Task) -> Record {
    Record {
        id: task.id,
        route: "payments".to_owned(),
        source: Some(SourceKind::Swf),
        token: task.token.clone(),
        activity: task.activity.as_str().into(),
        polled_at: task.polled_at,
        timeouts: task.timeouts,
        published: true,
        begun: false,
        heard: None,
        durable: true,
        failed_deliveries: 0,
        has_outcome: false,
    }
}

/// What the looks brought.
#[derive(Default)]
pub struct Seen {
    pub events: Vec<PeerEvent>,
    pub lapses: usize,
    /// When the last look began.
    pub verify: Option<Instant>,
    /// There is to be no other.
    frozen: bool,
}

impl Deref for Replica {
    type Target = RedisStore;

    fn deref(&self) -> &RedisStore {
        &self.store
    }
}

impl Replica {
    /// Of the route `payments`.
    pub async fn start(config: &RedisConfig) -> Self {
        let mut replica = Self::start_idle(config, "payments").await;
        replica.thaw();
        replica
    }

    /// That does not look by itself.
    pub async fn start_idle(config: &RedisConfig, route: &str) -> Self {
        let opened = RedisStore::open(config, vec![own_route(route)]).await;
        Self {
            store: Arc::new(opened.expect("the store opens")),
            seen: Arc::default(),
            looking: None,
        }
    }

    /// As if the process stood still. When its last look began.
    pub async fn freeze(&mut self) -> Instant {
        eventually("a look", async || self.seen(|seen| seen.verify)).await;
        self.seen.lock().expect("no panic").frozen = true;
        // The last one is not cut off: what it had sent would still be carried out, at any time.
        let looking = self.looking.take().expect("it looks");
        looking.await.expect("no panic");
        let verify = self.seen(|seen| seen.verify);
        verify.expect("it has looked")
    }

    /// As where it runs out.
    pub async fn loses_its_lease(&self, kind: Kind, config: &RedisConfig) {
        let key = format!("{}:owner:{{{}}}:lease", config.prefix, self.owner());
        super::server(kind).ask(&["DEL", &key]).await;
    }

    /// It goes on.
    pub fn thaw(&mut self) {
        let (store, seen) = (Arc::clone(&self.store), Arc::clone(&self.seen));
        seen.lock().expect("no panic").frozen = false;
        self.looking = Some(tokio::spawn(async move {
            let mut every = interval(RENEW_INTERVAL);
            loop {
                every.tick().await;
                {
                    let mut seen = seen.lock().expect("no panic");
                    if seen.frozen {
                        return;
                    }
                    seen.verify = Some(Instant::now());
                }
                if let Ok(Renewal { lapsed, events }) = store.renew().await {
                    let mut seen = seen.lock().expect("no panic");
                    seen.lapses += usize::from(lapsed);
                    seen.events.extend(events);
                }
            }
        }));
    }

    /// What the looks brought until now.
    pub fn seen<T>(&self, read: impl FnOnce(&Seen) -> T) -> T {
        read(&self.seen.lock().expect("no panic"))
    }

    /// Waits until a look brought this.
    pub async fn hears(&self, news: &PeerEvent) {
        let heard = async || self.seen(|seen| seen.events.contains(news)).then_some(());
        eventually(&format!("{news:?}"), heard).await;
    }

    /// Waits until it has seen that its lease had run out.
    pub async fn sees_a_lapse(&self) {
        let lapsed = async || self.seen(|seen| seen.lapses > 0).then_some(());
        eventually("a lapse", lapsed).await;
    }

    /// Waits until it has adopted so many.
    pub async fn adopts(&self, count: usize) -> Vec<Record> {
        let mut all = Vec::new();
        eventually("enough tasks to adopt", async || {
            all.extend(self.adopt(100).await.ok()?);
            (all.len() >= count).then_some(())
        })
        .await;
        assert_eq!(all.len(), count);
        all
    }

    /// Waits until the lease of whoever has this task has run out.
    pub async fn finds_dead_who_has(&self, id: TaskId) {
        eventually("the owner is dead", async || {
            let told = self.forward(id, "").await.ok();
            (told == Some(Forwarded::Orphan)).then_some(())
        })
        .await;
    }

    /// Waits until it says that there is no such task.
    pub async fn knows_no(&self, id: TaskId) {
        eventually("it is sure", async || match self.claim(id).await {
            Ok(Claim::Unknown) => Some(()),
            Ok(claim) => panic!("{claim:?}"),
            Err(_) => None,
        })
        .await;
    }

    /// The record as this process would have it in memory: published.
    pub async fn publishes(&self, task: &Task) -> Record {
        insist(async || self.insert(&payments(), task).await).await;
        insist(async || self.confirmed(task.id, task.timeouts).await).await;
        record(task)
    }

    /// Claims a task that is to be had.
    pub async fn claims(&self, id: TaskId) -> Record {
        eventually("an answer", async || self.claims_at_once(id).await).await
    }

    /// The same, and sees to it that its old owner learns of it.
    pub async fn claims_from(&self, old: &Self, id: TaskId) -> Record {
        if let Some(record) = self.claims_at_once(id).await {
            return record;
        }
        // Where an answer was lost, the old owner may not have been told. Then its next note tells it.
        let record = self.claims(id).await;
        old.note(id, Note::Begun);
        record
    }

    /// `None` where the answer was lost.
    async fn claims_at_once(&self, id: TaskId) -> Option<Record> {
        match self.claim(id).await.ok()? {
            Claim::Ours(record) => Some(record),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(looking) = &self.looking {
            looking.abort();
        }
    }
}
