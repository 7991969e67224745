//! The token store: what of a task outlives the moment it was polled.
//!
//! A record is in the store before the task's message is published, and leaves it after the task is settled and its
//! reply acknowledged. What a crash costs is what the chosen store forgets.

pub mod file;
mod format;
mod memory;
pub mod redis;

pub use file::FileStore;
pub use memory::MemoryStore;
pub use redis::RedisStore;

use crate::{
    config::StoreConfig,
    flights::Status,
    task::{Task, TaskId, TaskToken, Timeouts},
};
use anyhow::Context;
use async_trait::async_trait;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Opens the configured store, for a process with routes of these names.
///
/// # Errors
///
/// What is wrong, where, and how to mend it.
pub async fn open(config: &StoreConfig, routes: Vec<String>) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match config {
        StoreConfig::Memory => Arc::new(MemoryStore::default()),
        StoreConfig::File(file) => {
            let path = file.path.clone();
            // It reads the whole file, before the store has its own thread; meanwhile the process may be told to stop.
            #[expect(clippy::disallowed_methods, reason = "once, at the start; ADR 9")]
            let opened = tokio::task::spawn_blocking(move || FileStore::open(&path));
            Arc::new(
                opened
                    .await
                    .context("the token store could not be opened")??,
            )
        }
        StoreConfig::Redis(redis) => Arc::new(RedisStore::open(redis, routes).await?),
    })
}

/// Why the store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, or its disk can't be written. Worth another try.
    #[error("the token store is not available: {0}")]
    Unavailable(String),
    /// Another try changes nothing.
    #[error("the token store has lost what is to be published of the task")]
    NoMessage,
}

/// What is kept of a task in flight. What only its message needs is kept beside it, until the broker has that.
#[derive(Clone, Debug)]
pub struct Record {
    /// Ours.
    pub id: TaskId,
    /// The name of the route that polled it.
    pub route: String,
    /// AWS's.
    pub token: TaskToken,
    /// When the poll that brought it was answered.
    pub polled_at: SystemTime,
    /// What is known of its timeouts.
    pub timeouts: Timeouts,
    /// Whether the broker has confirmed its message. If not, [`Store::message`] has what is to be published.
    pub published: bool,
    /// Whether a worker has said that it works on it.
    pub begun: bool,
    /// When AWS last took a heartbeat for it; `None` where the store does not know.
    pub heard: Option<SystemTime>,
}

/// What may be noted of a task in flight. A note that is lost costs little, so nobody waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A worker says that it works on the task.
    Begun,
    /// AWS took a heartbeat. Only noted where others read the store.
    Heard(SystemTime),
    /// AWS wants the task canceled. Likewise.
    CancelRequested,
}

/// How long the records live, and with them the queue of replies to their tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// With the process.
    Process,
    /// Beyond it, under this id, which is kept with the records.
    Beyond(String),
}

/// A place that remembers the tasks in flight.
///
/// Every call but [`Store::note`] may be repeated: the second changes nothing. What is asked about a task that is not there
/// is no error, and changes nothing. No call waits much longer than a few seconds.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Records a task that was polled. When this returns, the record is as durable as the store can make it.
    async fn insert(&self, route: &str, task: &Task) -> Result<(), StoreError>;

    /// The broker has confirmed the task's message, which need not be kept any more; and these are its timeouts, as far
    /// as they have been learnt meanwhile. At worst a crash forgets it, and the message is published once more.
    async fn confirmed(&self, id: TaskId, timeouts: Timeouts) -> Result<(), StoreError>;

    /// Notes something, soon.
    fn note(&self, id: TaskId, note: Note);

    /// Forgets a task that has ended, but for that it was there. At worst a crash forgets the forgetting, and AWS says at
    /// the next heartbeat that the task is gone.
    async fn remove(&self, id: TaskId) -> Result<(), StoreError>;

    /// Records of tasks that no living process has, at most so many; from here on this process has them. None of them is
    /// handed out again. An empty answer: there are no more just now.
    async fn adopt(&self, most: usize) -> Result<Vec<Record>, StoreError>;

    /// What is to be published of a task whose message was not confirmed; `None` where nothing is. A store that lost its
    /// newest writes may have got the record back from the process that knew it, but not that: [`StoreError::NoMessage`].
    async fn message(&self, id: TaskId) -> Result<Option<Task>, StoreError>;

    /// Tasks that ended lately and were forgotten, at most so many, so that a late reply to one is known as late.
    async fn ended(&self, most: usize) -> Result<Vec<TaskId>, StoreError>;

    /// How many records there are.
    async fn count(&self) -> Result<usize, StoreError>;

    /// What is wrong with it, as far as that is known without asking it: then nothing new is polled.
    fn trouble(&self) -> Option<String>;

    /// Whose the tasks of this process are, for people: the same for as long as the process lives.
    fn owner(&self) -> &str;

    /// How long the records live.
    fn life(&self) -> Life;

    /// What there is to do where other processes have tasks in the same store; `None` where none can.
    fn shared(&self) -> Option<&dyn Shared>;

    /// Writes down what is not yet, and lets go: other processes may have this one's tasks at once.
    async fn close(&self);
}

/// A store that several processes share: each task is one process's at a time, by a lease on all of its tasks.
#[async_trait]
pub trait Shared: Send + Sync {
    /// Renews the lease, and says what others did meanwhile. To be called again every [`LOOK_EVERY`].
    async fn look(&self) -> Result<Look, StoreError>;

    /// Whether a process may be dead and is not known to be: it has not renewed its lease for a second, or that is gone. Its
    /// tasks may soon be adopted.
    async fn is_anyone_silent(&self) -> Result<bool, StoreError>;

    /// After a lapse, whose this task is now. A record that the store has lost is made anew from this one.
    async fn keep(&self, record: &Record) -> Result<Kept, StoreError>;

    /// Makes another process's task this one's, because its end has come here.
    async fn claim(&self, id: TaskId) -> Result<Claim, StoreError>;

    /// Hands a worker's sign of life on to the process that has the task.
    async fn pass_on(&self, id: TaskId, details: &str) -> Result<PassedOn, StoreError>;
}

/// How often a lease is renewed.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a look at a shared store showed.
#[derive(Debug, Default)]
pub struct Look {
    /// The lease had run out before this look renewed it, so that others may have taken tasks: ask [`Shared::keep`] of each.
    pub lapsed: bool,
    /// What others did, in its order.
    pub news: Vec<News>,
}

/// What another process did.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// It has this task now.
    Taken(TaskId),
    /// It heard a worker's sign of life for a task of this process.
    Sign {
        /// The task.
        id: TaskId,
        /// What the worker said.
        details: String,
    },
}

/// Whose a task is after a lapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// This process's, as before.
    Ours,
    /// Another's.
    Theirs,
    /// Nobody's: it has ended.
    Ended,
}

/// What became of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The task is this process's now.
    Ours(Record),
    /// Of a route that this process does not have.
    OtherRoute,
    /// It has ended.
    Ended,
    /// There is no such task, or it ended long ago.
    Unknown,
}

/// What became of a sign of life.
#[derive(Debug, PartialEq, Eq)]
pub enum PassedOn {
    /// Its process will hear of it; the task fares like this.
    To(Status),
    /// Its process is dead, and the lease has run out: claim the task.
    Orphan,
    /// The task has ended.
    Ended,
    /// There is no such task, or it ended long ago.
    Unknown,
}
