//! The store that several processes share: a Redis, or a Redis Cluster.
//!
//! ```text
//!  PREFIX:instance             the id of the store; stays for good
//!  PREFIX:owners               the owners that may have tasks; stays for good
//!  PREFIX:owner:{OWNER}:lease  there for as long as the owner lives: 5 s from each look on; or says that it has left
//!  PREFIX:owner:{OWNER}:tasks  the ids of its tasks
//!  PREFIX:owner:{OWNER}:mail   what others have to tell it
//!  PREFIX:task:{ID}            the record; for an hour after the task has ended, that it has
//! ```
//!
//! A task is its owner's by the field `owner` of its record, which changes in one script from the one that was expected
//! to another. The sets are how the tasks of the dead are found. An id is in its owner's set before the record says so,
//! and leaves the old owner's set after, so whoever dies in between leaves at worst an id in a set too many.
//!
//! Any answer may be lost, and any command may be carried out late. What that does is said where it matters.

use super::limits::{REMEMBERED, SET_KEPT};
use super::{
    connection::Connection,
    format,
    keys::{Keys, OwnerKeys},
    lease::Lease,
    notes::Notes,
    owned::OwnedTasks,
    owners::{Gone, LEFT},
    scripts,
    settings::RedisConfig,
    url::RedisUrl,
};
use crate::{
    store::{Lifetime, Note, RENEW_INTERVAL, Record, Shared, Store, StoreError},
    task::{Task, TaskId, Timeouts},
};
use anyhow::Context;
use async_trait::async_trait;
use futures_util::future::{try_join, try_join_all};
use parking_lot::Mutex;
use redis::{cmd, pipe};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long a start waits for a Redis that can't be reached.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Where there is no id of the store, it is looked for so long before one is made.
const ID_TIMEOUT: Duration = Duration::from_secs(2);

/// What is said where there is another.
const REPLACED: &str = "names another queue of replies, since it lost its data while a process started: this process reads its own until its tasks have ended; then restart it";

/// See the module.
pub struct RedisStore {
    /// What messages name.
    url: RedisUrl,
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    /// My own.
    pub(super) mine: OwnerKeys,
    pub(super) routes: Vec<String>,
    pub(super) owner: String,
    instance: String,
    /// Whether Redis has another.
    replaced: AtomicBool,
    pub(super) owned: OwnedTasks,
    pub(super) notes: Notes,
    pub(super) lease: Lease,
    pub(super) gone: Gone,
    /// Dead owners that have nothing but tasks of other processes' routes, and when that was seen.
    pub(super) passed_over: Mutex<HashMap<String, Instant>>,
    /// One at a time: what is on its way to one caller is not for another.
    adopting: tokio::sync::Mutex<()>,
    pub(super) closed: AtomicBool,
}

impl RedisStore {
    /// Connects, and takes a lease. The routes are those whose tasks this process can have.
    ///
    /// # Errors
    ///
    /// At once where Redis refuses, after 30 s where it can't be reached or is not whole.
    pub async fn open(config: &RedisConfig, routes: Vec<String>) -> anyhow::Result<Self> {
        let end = Instant::now() + START_TIMEOUT;
        let connection = Connection::open(config, START_TIMEOUT).await?;
        for advice in &connection.advice {
            tracing::warn!("{advice}");
        }
        let keys = Keys::new(&config.prefix);
        let owner = TaskId::random().to_string();
        let first = || format!("the token store {} can't be used", config.urls[0]);
        let instance = connection.patiently(end, async || instance(&connection, &keys).await);
        let instance = instance.await.with_context(first)?;
        let mut store = Self {
            url: config.urls[0].clone(),
            connection,
            mine: keys.owner(&owner),
            keys,
            routes,
            owner,
            instance,
            replaced: AtomicBool::new(false),
            owned: OwnedTasks::default(),
            notes: Notes::default(),
            lease: Lease::new(Instant::now()),
            gone: Gone::default(),
            passed_over: Mutex::default(),
            adopting: tokio::sync::Mutex::default(),
            closed: AtomicBool::new(false),
        };
        let register = async || {
            let began = Instant::now();
            try_join(store.renew(), store.register()).await?;
            Ok(began)
        };
        let registered = store.connection.patiently(end, register).await;
        let began = registered.with_context(first)?;
        // That there was none before is no lapse.
        store.lease = Lease::new(began);
        // Where the answer took long, much of the lease is over.
        let fresh = store
            .connection
            .patiently(end, async || store.stay_alive().await);
        fresh.await.with_context(first)?;
        Ok(store)
    }

    /// Puts this process among the owners, and the id of the store into its place, unless there is another. Again and again:
    /// another that finds this process dead takes it out; and where Redis has lost both, a process that starts must find the
    /// queue of replies that goes by this id.
    pub(super) async fn register(&self) -> Result<(), StoreError> {
        let mut sadd = cmd("SADD");
        let sadd = sadd.arg(self.keys.owners()).arg(&self.owner);
        let found = find_instance(&self.connection, &self.keys);
        let ((), found) = try_join(self.connection.send(sadd), found).await?;
        if found.is_none() {
            name_instance(&self.connection, &self.keys, &self.instance).await?;
        }
        let replaced = found.is_some_and(|found| found != self.instance);
        self.replaced.store(replaced, Ordering::Relaxed);
        Ok(())
    }

    /// Recovery may take longer than a lease lasts, and nobody looks before it is over.
    pub(super) async fn stay_alive(&self) -> Result<(), StoreError> {
        if self.lease.is_due() {
            self.renew().await?;
        }
        Ok(())
    }

    /// Puts ids into this process's own set.
    pub(super) async fn add(&self, ids: &[TaskId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = ids.iter().map(TaskId::to_string).collect();
        let mut both = pipe();
        both.sadd(&self.mine.tasks, ids).ignore();
        let kept = i64::try_from(format::millis(SET_KEPT)).unwrap_or(i64::MAX);
        both.pexpire(&self.mine.tasks, kept).ignore();
        self.connection.send_all(&both).await
    }

    /// Takes ids out of an owner's set.
    pub(super) async fn remove(&self, tasks: &str, ids: &[TaskId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = ids.iter().map(TaskId::to_string).collect();
        let mut srem = cmd("SREM");
        self.connection.send(srem.arg(tasks).arg(ids)).await
    }

    /// What is in these fields of a task's hash.
    async fn fields(&self, id: TaskId, names: &[&str]) -> Result<Vec<Option<String>>, StoreError> {
        let mut hmget = cmd("HMGET");
        self.connection
            .send(hmget.arg(self.keys.task(id)).arg(names))
            .await
    }

    pub(super) async fn owners(&self) -> Result<Vec<String>, StoreError> {
        let mut smembers = cmd("SMEMBERS");
        let owners = self.keys.owners();
        self.connection.send(smembers.arg(owners)).await
    }
}

/// The id of the store, which whoever is first decides. Where Redis has just lost it, those who know it have time to put it
/// back.
async fn instance(connection: &Connection, keys: &Keys) -> Result<String, StoreError> {
    let began = Instant::now();
    loop {
        if let Some(found) = find_instance(connection, keys).await? {
            return Ok(found);
        }
        if began.elapsed() < ID_TIMEOUT {
            sleep(RENEW_INTERVAL).await;
        } else {
            name_instance(connection, keys, &TaskId::random().to_string()).await?;
        }
    }
}

async fn find_instance(connection: &Connection, keys: &Keys) -> Result<Option<String>, StoreError> {
    connection.send(cmd("GET").arg(keys.instance())).await
}

/// Unless it has one.
async fn name_instance(connection: &Connection, keys: &Keys, id: &str) -> Result<(), StoreError> {
    let mut setnx = cmd("SETNX");
    connection.send(setnx.arg(keys.instance()).arg(id)).await
}

#[async_trait]
impl Store for RedisStore {
    async fn insert(&self, route: &str, task: &Task) -> Result<(), StoreError> {
        self.owned.begin(task.id);
        let mut script = scripts::INSERT.key(self.keys.task(task.id));
        script
            .arg(&self.owner)
            .arg(route)
            .arg(task.token.reveal())
            .arg(format::moment(Some(task.polled_at)))
            .arg(format::timeouts(task.timeouts)?)
            .arg(format::message(task)?)
            .arg(format::kept_for(task.timeouts));
        // Together: a crash in between is as if neither had been done, because the message is published after both.
        try_join(self.add(&[task.id]), self.connection.run(&script))
            .await
            .map(|((), ())| ())
    }

    async fn confirmed(&self, id: TaskId, timeouts: Timeouts) -> Result<(), StoreError> {
        let mut script = scripts::CONFIRM.key(self.keys.task(id));
        script
            .arg(format::timeouts(timeouts)?)
            .arg(format::kept_for(timeouts));
        self.connection.run(&script).await
    }

    fn note(&self, id: TaskId, note: Note) {
        self.notes.add(id, note);
    }

    async fn remove(&self, id: TaskId) -> Result<(), StoreError> {
        self.owned.end(id);
        let mut script = scripts::REMOVE.key(self.keys.task(id));
        script.arg(format::millis(REMEMBERED));
        let owner: Option<String> = self.connection.run(&script).await?;
        // After, so that a crash in between leaves a task that is known to have ended, and not one that nobody finds.
        self.remove(&self.mine.tasks, &[id]).await?;
        // It may have died when it had taken the task, and not taken it out of this process's set yet.
        if let Some(other) = owner.filter(|owner| *owner != self.owner) {
            self.remove(&self.keys.owner(&other).tasks, &[id]).await?;
        }
        self.owned.drop(id);
        Ok(())
    }

    async fn adopt(&self, most: usize) -> Result<Vec<Record>, StoreError> {
        let _only = self.adopting.lock().await;
        self.stay_alive().await?;
        self.adopt_some(most).await
    }

    async fn message(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        let names = [&["message"], &format::FIELDS[..]].concat();
        let mut fields = self.fields(id, &names).await?;
        match fields.remove(0) {
            Some(message) => format::task(format::record(id, fields)?, &message).map(Some),
            None => match format::record(id, fields) {
                Ok(record) if !record.published => Err(StoreError::NoMessage),
                // Published, or ended and gone.
                Ok(_) | Err(_) => Ok(None),
            },
        }
    }

    /// None: whoever gets a reply to a task that is not its own asks [`Shared::claim`], which knows.
    async fn ended(&self, _most: usize) -> Result<Vec<TaskId>, StoreError> {
        Ok(Vec::new())
    }

    async fn count(&self) -> Result<usize, StoreError> {
        let size = async |owner: String| {
            let mut scard = cmd("SCARD");
            let tasks = self.keys.owner(&owner).tasks;
            self.connection.send::<usize>(scard.arg(tasks)).await
        };
        let sizes = try_join_all(self.owners().await?.into_iter().map(size)).await?;
        Ok(sizes.into_iter().sum())
    }

    fn unavailable(&self) -> Option<String> {
        let replaced = self
            .replaced
            .load(Ordering::Relaxed)
            .then(|| REPLACED.to_owned());
        let unavailable = self.lease.unavailable().or(replaced)?;
        Some(format!("Redis {} {unavailable}", self.url))
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
        let left = set.arg(&self.mine.lease).arg(LEFT);
        let left = left.arg("PX").arg(format::millis(SET_KEPT));
        let let_go = self.connection.send::<()>(left).await;
        if let Err(error) = let_go {
            tracing::warn!(%error, "the lease runs out by itself: others have this process's tasks only then");
        }
    }
}
