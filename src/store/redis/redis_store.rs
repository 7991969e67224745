//! The store in a Redis or a Redis Cluster. Its keys:
//!
//! ```text
//!  PREFIX:instance             the id of the store; does not expire
//!  PREFIX:owners               the set of owners that may have tasks; does not expire
//!  PREFIX:owner:{OWNER}:lease  the lease: expires 5 s after a renewal; or the value "left" after a clean end
//!  PREFIX:owner:{OWNER}:tasks  the set of the ids of its tasks
//!  PREFIX:owner:{OWNER}:mail   the inbox: a stream of messages from other processes
//!  PREFIX:task:{ID}            the record; for an hour after the end of the task, its tombstone
//! ```
//!
//! The field `owner` of the record decides who owns a task. One script changes it from the expected owner to another, and
//! increments the epoch (the field `turn`), which is a fencing token. The sets serve to find the tasks of dead owners. An id is
//! added to the new owner's set before the record names the new owner. It is removed from the old owner's set afterwards. A
//! crash in between leaves at most a superfluous id in a set.
//!
//! Any answer may be lost, and any command may be executed late. Comments say what follows from that where it matters.

use super::limits::{SET_TTL, TOMBSTONE_TTL};
use super::{
    connection::Connection,
    format::{self, Fields},
    keys::{Keys, OwnerKeys},
    lease::Lease,
    notes::Notes,
    owned::OwnedTasks,
    owners::{LEFT, MissingLeases, SkippedOwners},
    scripts,
    settings::RedisConfig,
    url::RedisUrl,
};
use crate::{
    store::{
        Lifetime, Note, OwnRoute, RENEW_INTERVAL, Record, Shared, Store, StoreError,
        codec::Unreadable, outcome, unreadable::UnreadablePlaces,
    },
    task::{Outcome, Task, TaskId, Timeouts},
    util::Label,
};
use anyhow::Context;
use async_trait::async_trait;
use futures_util::{
    StreamExt, TryStreamExt,
    future::{join, try_join, try_join_all, try_join3},
    stream,
};
use parking_lot::Mutex;
use redis::{cmd, pipe};
use std::{
    fmt::Display,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Timeout for a Redis that can't be reached at a start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for which a start waits for an id of the store before it makes one.
const ID_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum length of a member of a set in the log.
const MAX_SHOWN_BYTES: usize = 16;

/// Maximum number of messages that are marked as lost at once.
const LOST_AT_ONCE: usize = 100;

/// The error text if Redis has another id of the store.
const REPLACED: &str = "names another queue of replies, since it lost its data while a process started: this process reads its own until its tasks have ended; then restart it";

/// See the module.
pub struct RedisStore {
    /// The URL for messages to people.
    url: RedisUrl,
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    /// The keys of this process.
    pub(super) own_keys: OwnerKeys,
    pub(super) routes: Mutex<Vec<OwnRoute>>,
    pub(super) owner: String,
    instance: String,
    /// Whether Redis has another id than `instance`.
    replaced: AtomicBool,
    pub(super) owned: OwnedTasks,
    pub(super) notes: Notes,
    pub(super) lease: Lease,
    pub(super) missing_leases: MissingLeases,
    /// What this process could not read.
    pub(super) unreadable: UnreadablePlaces,
    /// Dead owners that have only tasks of other processes' routes or unreadable ones, and when that was found.
    pub(super) skipped_owners: Mutex<SkippedOwners>,
    /// Allows one adoption at a time, so that two callers do not get the same task.
    adopting: tokio::sync::Mutex<()>,
    pub(super) closed: AtomicBool,
}

impl RedisStore {
    /// Connects, and acquires a lease. This process can own tasks of these routes.
    ///
    /// # Errors
    ///
    /// At once if Redis refuses; after 30 s if Redis can't be reached or a shard of the Cluster is unavailable.
    pub async fn open(config: &RedisConfig, routes: Vec<OwnRoute>) -> anyhow::Result<Self> {
        let end = Instant::now() + START_TIMEOUT;
        let connection = Connection::open(config, START_TIMEOUT).await?;
        for advice in &connection.advice {
            tracing::warn!("{advice}");
        }
        let keys = Keys::new(&config.prefix);
        let owner = TaskId::random().reveal();
        let first = || format!("the token store {} can't be used", config.urls[0]);
        let instance = connection.retry_until(end, async || instance(&connection, &keys).await);
        let instance = instance.await.with_context(first)?;
        let mut store = Self {
            url: config.urls[0].clone(),
            connection,
            own_keys: keys.owner(&owner),
            keys,
            routes: Mutex::new(routes),
            owner,
            instance,
            replaced: AtomicBool::new(false),
            owned: OwnedTasks::default(),
            notes: Notes::default(),
            lease: Lease::new(Instant::now()),
            missing_leases: MissingLeases::default(),
            unreadable: UnreadablePlaces::default(),
            skipped_owners: Mutex::default(),
            adopting: tokio::sync::Mutex::default(),
            closed: AtomicBool::new(false),
        };
        let register = async || {
            let began = Instant::now();
            // An inbox that can't be read would show with the first message only.
            try_join3(store.renew(), store.register(), store.read_inbox()).await?;
            Ok(began)
        };
        let registered = store.connection.retry_until(end, register).await;
        let began = registered.with_context(first)?;
        // A first lease is not a lapse.
        store.lease = Lease::new(began);
        // If the answer took long, much of the lease has passed already.
        let fresh = store
            .connection
            .retry_until(end, async || store.stay_alive().await);
        fresh.await.with_context(first)?;
        Ok(store)
    }

    /// Adds this process to the set of owners, and writes the id of the store if Redis has none. Both are repeated with every
    /// renewal, for two reasons. A process that takes this one for dead removes it from the set. If Redis has lost its data, a
    /// process that starts needs the id to find the reply queue.
    pub(super) async fn register(&self) -> Result<(), StoreError> {
        let mut sadd = cmd("SADD");
        let owners = self.keys.owners();
        let sadd = sadd.arg(&owners).arg(&self.owner);
        let found = find_instance(&self.connection, &self.keys);
        let (added, found) = join(self.connection.send::<()>(sadd), found).await;
        self.unreadable.check(&owners, added)?;
        let found = self.unreadable.check(&self.keys.instance(), found)?;
        if let Some(None) = found {
            name_instance(&self.connection, &self.keys, &self.instance).await?;
        }
        let found = found.flatten();
        let replaced = found.is_some_and(|found| found != self.instance);
        self.replaced.store(replaced, Ordering::Relaxed);
        Ok(())
    }

    /// Renews the lease if that is overdue. Recovery may take longer than a lease lasts, and the loop that renews begins after
    /// it.
    pub(super) async fn stay_alive(&self) -> Result<(), StoreError> {
        if self.lease.is_due() {
            self.renew().await?;
        }
        Ok(())
    }

    /// Adds ids to this process's own set.
    pub(super) async fn add(&self, ids: &[TaskId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = ids.iter().map(|id| id.reveal()).collect();
        let mut both = pipe();
        both.sadd(&self.own_keys.tasks, ids).ignore();
        let ttl = i64::try_from(format::millis(SET_TTL)).unwrap_or(i64::MAX);
        both.pexpire(&self.own_keys.tasks, ttl).ignore();
        match self.connection.send_all(&both).await {
            Err(StoreError::Unreadable(why)) => {
                self.set_tasks_aside(&why).await?;
                self.connection.send_all(&both).await
            }
            added => added,
        }
    }

    /// Removes ids from an owner's set.
    pub(super) async fn remove(&self, tasks: &str, ids: &[TaskId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = ids.iter().map(|id| id.reveal()).collect();
        let mut srem = cmd("SREM");
        let removed = self.connection.send::<()>(srem.arg(tasks).arg(ids)).await;
        self.unreadable.check(tasks, removed).map(|_| ())
    }

    /// The values of these fields of a task's hash.
    pub(super) async fn fields(&self, id: TaskId, names: &[&str]) -> Result<Fields, StoreError> {
        let mut hmget = cmd("HMGET");
        self.connection
            .send(hmget.arg(self.keys.task(id)).arg(names))
            .await
    }

    /// The message of a task whose record is so; `None` if there is none.
    async fn message_if(
        &self,
        id: TaskId,
        is_so: impl Fn(&Record) -> bool + Send,
    ) -> Result<Option<Task>, StoreError> {
        let names = [&["message"], &format::FIELDS[..]].concat();
        let mut fields = self.fields(id, &names).await?;
        let message = fields.remove(0);
        match (format::record(id, fields), message) {
            (Ok(record), _) if !is_so(&record) => Ok(None),
            // The task has ended.
            (Err(_), None) => Ok(None),
            // That version has taken the task over. It must not be failed back here.
            (Err(why @ Unreadable::Newer(_)), Some(_)) => {
                Err(StoreError::Unavailable(why.to_string()))
            }
            (Err(why), Some(_)) => Err(StoreError::Unreadable(why.to_string())),
            (Ok(_), None) => Err(StoreError::NoMessage),
            (Ok(record), Some(message)) => format::task(record, &message).map(Some),
        }
    }

    /// The owners that may have tasks. What is no name of a process is left out.
    pub(super) async fn owners(&self) -> Result<Vec<String>, StoreError> {
        let mut smembers = cmd("SMEMBERS");
        let key = self.keys.owners();
        let found = self.connection.send(smembers.arg(&key)).await;
        let found: Vec<Vec<u8>> = self.unreadable.check(&key, found)?.unwrap_or_default();
        let count = found.len();
        let mut names = Vec::with_capacity(count);
        for member in found {
            match format::owner(member) {
                Ok(name) => names.push(name),
                Err(member) => self.note_member(&key, &member),
            }
        }
        if names.len() == count {
            self.unreadable.clear_members(&key);
        }
        Ok(names)
    }

    /// Notes a member of a set that is none of its names or ids.
    pub(super) fn note_member(&self, key: &str, member: &[u8]) {
        let shown = &member[..member.len().min(MAX_SHOWN_BYTES)];
        self.unreadable.note_member(key, shown);
    }

    /// The answer to a call about a task's record; `None` if the record can't be read.
    pub(super) fn about_task<T>(
        &self,
        id: TaskId,
        answer: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match answer {
            // Most calls do not read all fields, so this says nothing of the others.
            Ok(answer) => Ok(Some(answer)),
            Err(StoreError::Unreadable(why)) => {
                self.unreadable.note(&self.keys.shown_task(id), &why);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The id of the store. The first process makes it. If Redis has just lost it, the processes that know it have time to write
/// it again.
async fn instance(connection: &Connection, keys: &Keys) -> Result<String, StoreError> {
    let began = Instant::now();
    loop {
        if let Some(found) = find_instance(connection, keys).await? {
            return Ok(found);
        }
        if began.elapsed() < ID_TIMEOUT {
            sleep(RENEW_INTERVAL).await;
        } else {
            name_instance(connection, keys, &TaskId::random().reveal()).await?;
        }
    }
}

async fn find_instance(connection: &Connection, keys: &Keys) -> Result<Option<String>, StoreError> {
    let key = keys.instance();
    let at_key = |why: &dyn Display| StoreError::Unreadable(format!("{key}: {why}"));
    let found: Option<Vec<u8>> = match connection.send(cmd("GET").arg(&key)).await {
        Err(StoreError::Unreadable(why)) => return Err(at_key(&why)),
        found => found?,
    };
    let found = found.map(String::from_utf8).transpose();
    found.map_err(|_| at_key(&"it is no text"))
}

/// Writes the id of the store, unless there is one.
async fn name_instance(connection: &Connection, keys: &Keys, id: &str) -> Result<(), StoreError> {
    let mut setnx = cmd("SETNX");
    connection.send(setnx.arg(keys.instance()).arg(id)).await
}

#[async_trait]
impl Store for RedisStore {
    async fn insert(&self, route: &OwnRoute, task: &Task) -> Result<(), StoreError> {
        self.owned.begin(task.id);
        let mut script = scripts::INSERT.key(self.keys.task(task.id));
        script
            .arg(&self.owner)
            .arg(&route.name)
            .arg(task.token.reveal())
            .arg(format::moment(Some(task.polled_at)))
            .arg(format::timeouts(task.timeouts)?)
            .arg(format::message(task)?)
            .arg(format::ttl_millis(task.timeouts))
            .arg(&task.activity)
            .arg(route.source.label());
        // Both run at the same time. A crash in between is harmless, because the message is published after both.
        try_join(self.add(&[task.id]), self.connection.run(&script))
            .await
            .map(|((), ())| ())
    }

    async fn confirmed(&self, id: TaskId, timeouts: Timeouts) -> Result<(), StoreError> {
        let mut script = scripts::CONFIRM.key(self.keys.task(id));
        script
            .arg(format::timeouts(timeouts)?)
            .arg(format::ttl_millis(timeouts));
        let confirmed = self.connection.run::<()>(&script).await;
        self.about_task(id, confirmed).map(|_| ())
    }

    async fn messages_lost(&self, ids: &[TaskId]) -> Result<(), StoreError> {
        let lose = async |id: TaskId| {
            let mut script = scripts::LOSE_MESSAGE.key(self.keys.task(id));
            let lost = self.connection.run::<()>(script.arg(&self.owner)).await;
            self.about_task(id, lost).map(drop)
        };
        let losing = stream::iter(ids.iter().copied()).map(lose);
        losing.buffer_unordered(LOST_AT_ONCE).try_collect().await
    }

    fn note(&self, id: TaskId, note: Note) {
        self.notes.add(id, note);
    }

    async fn remove(&self, id: TaskId) -> Result<(), StoreError> {
        self.owned.end(id);
        let mut script = scripts::REMOVE.key(self.keys.task(id));
        script.arg(format::millis(TOMBSTONE_TTL));
        let removed = self.connection.run(&script).await;
        let owner: Option<Vec<u8>> = self.about_task(id, removed)?.flatten();
        let owner = owner.and_then(|owner| format::owner(owner).ok());
        // The id is removed after the record. A crash in between leaves an id whose task is known to have ended. In the other
        // order it would leave a record that nobody finds.
        self.remove(&self.own_keys.tasks, &[id]).await?;
        // Another process took the task over. It may have died before it removed the id from a set.
        if let Some(other) = owner.filter(|owner| *owner != self.owner) {
            self.remove(&self.keys.owner(&other).tasks, &[id]).await?;
        }
        self.owned.drop(id);
        Ok(())
    }

    async fn adopt(&self, most: usize) -> Result<Vec<Record>, StoreError> {
        let _permit = self.adopting.lock().await;
        self.stay_alive().await?;
        self.adopt_some(most).await
    }

    async fn message(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.message_if(id, |record| !record.published).await
    }

    async fn copy(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.message_if(id, Record::may_be_lost).await
    }

    async fn keep_outcome(&self, id: TaskId, outcome: &Outcome) -> Result<(), StoreError> {
        let text = outcome::text(outcome);
        let text = text.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let mut script = scripts::KEEP_OUTCOME.key(self.keys.task(id));
        let kept = self.connection.run::<()>(script.arg(text)).await;
        self.about_task(id, kept).map(|_| ())
    }

    async fn kept_outcome(&self, id: TaskId) -> Result<Option<Outcome>, StoreError> {
        let fields = self.fields(id, &["outcome"]).await;
        let text = self
            .about_task(id, fields)?
            .and_then(|mut fields| fields.pop());
        Ok(text.flatten().and_then(|text| outcome::read(&text)))
    }

    /// Empty: for a reply to a task of another process [`Shared::claim`] says whether the task has ended.
    async fn ended(&self, _most: usize) -> Result<Vec<TaskId>, StoreError> {
        Ok(Vec::new())
    }

    async fn count(&self) -> Result<usize, StoreError> {
        let size = async |owner: String| {
            let mut scard = cmd("SCARD");
            let tasks = self.keys.owner(&owner).tasks;
            let size = self.connection.send(scard.arg(&tasks)).await;
            Ok(self.unreadable.check(&tasks, size)?.unwrap_or(0))
        };
        let sizes = try_join_all(self.owners().await?.into_iter().map(size)).await?;
        Ok(sizes.into_iter().sum::<usize>())
    }

    fn unavailable(&self) -> Option<String> {
        let replaced = self
            .replaced
            .load(Ordering::Relaxed)
            .then(|| REPLACED.to_owned());
        let unavailable = self.lease.unavailable().or(replaced)?;
        Some(format!("Redis {} {unavailable}", self.url))
    }

    fn unreadable(&self) -> usize {
        self.unreadable.count()
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::Beyond(self.instance.clone())
    }

    fn shared(&self) -> Option<&dyn Shared> {
        Some(self)
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.write_notes(usize::MAX).await;
        let mut set = cmd("SET");
        let set = set.arg(&self.own_keys.lease).arg(LEFT);
        let set = set.arg("PX").arg(format::millis(SET_TTL));
        let closed = self.connection.send::<()>(set).await;
        if let Err(error) = closed {
            tracing::warn!(%error, "the lease runs out by itself: others have this process's tasks only then");
        }
    }
}
