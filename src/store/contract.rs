//! The token store: what of a task outlives the moment it was polled.
//!
//! A record is in the store before the task's message is published, and leaves it after the task is settled and its
//! reply acknowledged. What a crash costs is what the chosen store forgets.

use super::{
    error::StoreError,
    record::{Note, Record},
};
use crate::task::{Status, Task, TaskId, Timeouts};
use async_trait::async_trait;
use std::time::Duration;

/// How long the records live, and with them the queue of replies to their tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lifetime {
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
    fn unavailable(&self) -> Option<String>;

    /// Whose the tasks of this process are, for people: the same for as long as the process lives.
    fn owner(&self) -> &str;

    /// How long the records live.
    fn lifetime(&self) -> Lifetime;

    /// What there is to do where other processes have tasks in the same store; `None` where none can.
    fn shared(&self) -> Option<&dyn Shared>;

    /// Resolves once the store can't be used any more in this process: it was closed, or its thread has ended.
    async fn closed(&self) {
        std::future::pending().await
    }

    /// Writes down what is not yet, and lets go: other processes may have this one's tasks at once.
    async fn close(&self);
}

/// A store that several processes share: each task is one process's at a time, by a lease on all of its tasks.
#[async_trait]
pub trait Shared: Send + Sync {
    /// Renews the lease, and says what others did meanwhile. To be called again every [`RENEW_INTERVAL`].
    async fn renew(&self) -> Result<Renewal, StoreError>;

    /// Whether a process may be dead and is not known to be: it has not renewed its lease for a second, or that is gone. Its
    /// tasks may soon be adopted.
    async fn is_anyone_silent(&self) -> Result<bool, StoreError>;

    /// After a lapse, whose this task is now. A record that the store has lost is made anew from this one.
    async fn reassert(&self, record: &Record) -> Result<Ownership, StoreError>;

    /// Makes another process's task this one's, because its end has come here.
    async fn claim(&self, id: TaskId) -> Result<Claim, StoreError>;

    /// Hands a worker's sign of life on to the process that has the task.
    async fn forward(&self, id: TaskId, details: &str) -> Result<Forwarded, StoreError>;
}

/// How often a lease is renewed.
pub const RENEW_INTERVAL: Duration = Duration::from_millis(200);

/// What a look at a shared store showed.
#[derive(Debug, Default)]
pub struct Renewal {
    /// The lease had run out before this look renewed it, so that others may have taken tasks: ask [`Shared::reassert`] of each.
    pub lapsed: bool,
    /// What others did, in its order.
    pub news: Vec<PeerEvent>,
}

/// What another process did.
#[derive(Debug, PartialEq, Eq)]
pub enum PeerEvent {
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
pub enum Ownership {
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
pub enum Forwarded {
    /// Its process will hear of it; the task fares like this.
    To(Status),
    /// Its process is dead, and the lease has run out: claim the task.
    Orphan,
    /// The task has ended.
    Ended,
    /// There is no such task, or it ended long ago.
    Unknown,
}
