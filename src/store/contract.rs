//! The traits of the token store: [`Store`] for any store, [`Shared`] for a store that several processes share.

use super::{
    error::StoreError,
    record::{Note, OwnRoute, Record},
};
use crate::task::{Outcome, Status, Task, TaskId, Timeouts};
use async_trait::async_trait;
use std::time::{Duration, SystemTime};

/// The lifetime of the records. The reply queue of their tasks has the same lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// The records end with the process.
    Process,
    /// The records outlive the process. The id of the store is kept with them.
    Beyond(String),
}

/// A store of the records of tasks in flight.
///
/// Every call except [`Store::note`] is idempotent. A call for a task without a record is no error and changes nothing. A
/// call returns within a few seconds.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Records a task that this route has polled. When the call returns, the record is as durable as the store can make it.
    async fn insert(&self, route: &OwnRoute, task: &Task) -> Result<(), StoreError>;

    /// Notes that a durable broker has confirmed the task's message, and stores the timeouts that were learnt meanwhile. The
    /// store keeps its copy of the message until a worker has begun too, because the broker may lose its own. A crash can undo
    /// the call; then the message is published a second time. With a broker that keeps no messages, nobody calls this.
    async fn confirmed(&self, id: TaskId, timeouts: Timeouts) -> Result<(), StoreError>;

    /// Notes that a durable broker has lost the messages of these tasks. They count as not confirmed, except where a worker has
    /// begun. When the call returns, this is as durable as the store can make it.
    async fn messages_lost(&self, ids: &[TaskId]) -> Result<(), StoreError>;

    /// Notes something of a task. The store writes it soon, and nobody waits for it.
    fn note(&self, id: TaskId, note: Note);

    /// Deletes an ended task's record and leaves a tombstone. A crash can undo the call; then AWS answers the next heartbeat
    /// of the task with "gone".
    async fn remove(&self, id: TaskId) -> Result<(), StoreError>;

    /// Adopts at most `most` tasks that no living process owns, and returns their records. From now on this process owns
    /// them, and they are not returned again. An empty answer means that there are no more at the moment.
    async fn adopt(&self, most: usize) -> Result<Vec<Record>, StoreError>;

    /// From now on [`Store::adopt`] returns tasks again that it has returned before and that were not adopted, because their routes
    /// were not configured. It may also return tasks that were. A store that returns no tasks of other routes does nothing.
    async fn offer_again(&self) {}

    /// The task with its message, if the message is to be published; `None` if it is not: a durable broker has confirmed it,
    /// or the task was released. The answer is [`StoreError::NoMessage`] if the store has the record alone: it lost its newest
    /// writes, it had no room for the message, or an older version of the bridge deleted the message at the confirm.
    async fn message(&self, id: TaskId) -> Result<Option<Task>, StoreError>;

    /// The task with the store's copy of its message, whether or not the message is to be published; `None` if the task has ended or
    /// if a worker has begun. The errors are those of [`Store::message`].
    async fn copy(&self, id: TaskId) -> Result<Option<Task>, StoreError>;

    /// Keeps the outcome of a task that AWS has not taken, in place of the task's message. The store writes it soon. A crash can
    /// undo the call.
    async fn keep_outcome(&self, id: TaskId, outcome: &Outcome) -> Result<(), StoreError>;

    /// The outcome of a task that [`Store::keep_outcome`] kept; `None` if there is none, or if it is lost.
    async fn kept_outcome(&self, id: TaskId) -> Result<Option<Outcome>, StoreError>;

    /// At most `most` tasks that ended lately, from their tombstones. A reply to one of them is known to be late.
    async fn ended(&self, most: usize) -> Result<Vec<TaskId>, StoreError>;

    /// The number of records.
    async fn count(&self) -> Result<usize, StoreError>;

    /// Why the store is unavailable, as far as it knows without a new call; `None` if it is available. While the store is
    /// unavailable, no new task is polled.
    fn unavailable(&self) -> Option<String>;

    /// The number of records and keys of the store that this process could not read. They are left alone.
    fn unreadable(&self) -> usize {
        0
    }

    /// The owner of this process's tasks, for people. It does not change while the process lives.
    fn owner(&self) -> &str;

    /// The lifetime of the records.
    fn lifetime(&self) -> Lifetime;

    /// The calls of a store that several processes share; `None` if only one process can use this store.
    fn shared(&self) -> Option<&dyn Shared>;

    /// Resolves once the store can't be used any more in this process: it was closed, or its thread has ended.
    async fn closed(&self) {
        std::future::pending().await
    }

    /// Writes the pending notes and gives the ownership up, so that other processes can adopt this one's tasks at once.
    async fn close(&self);
}

/// A store that several processes share. One process owns a task at a time, by a lease on all its tasks together.
#[async_trait]
pub trait Shared: Send + Sync {
    /// Sets the routes whose tasks this process can own.
    fn set_routes(&self, _routes: Vec<OwnRoute>) {}

    /// Renews the lease, and returns what other processes did meanwhile. To be called every [`RENEW_INTERVAL`].
    async fn renew(&self) -> Result<Renewal, StoreError>;

    /// Whether it is undecided for some process if it is alive: its lease was not renewed for a second, or its lease is
    /// missing and may come back. Its tasks may soon be adopted.
    async fn is_anyone_silent(&self) -> Result<bool, StoreError>;

    /// Asks who owns this task after a lapse of the lease. A record that the store has lost is written again from `record`.
    async fn reassert(&self, record: &Record) -> Result<Ownership, StoreError>;

    /// The name of the route of a task. `None`: there is no such task, or it has ended.
    async fn route_of(&self, id: TaskId) -> Result<Option<String>, StoreError>;

    /// Whether another process owns this task and may be alive.
    async fn is_elsewhere(&self, id: TaskId) -> Result<bool, StoreError>;

    /// Makes this process the owner of another's task, because the reply that ends the task came here.
    async fn claim(&self, id: TaskId) -> Result<Claim, StoreError>;

    /// Whether any process, alive or dead, this one included, has recorded a task that has not ended.
    async fn has_tasks(&self) -> Result<bool, StoreError>;

    /// Tells every other process that the broker has lost this queue, and when it was missing. `ready`: the number of messages in
    /// it, if only replies may be lost. An error says that a process may live that was not told.
    async fn tell_queue_lost(
        &self,
        queue: &str,
        missing_at: SystemTime,
        ready: Option<usize>,
    ) -> Result<(), StoreError>;

    /// Forwards a worker's sign of life to the owner of the task.
    async fn forward(&self, id: TaskId, details: &str) -> Result<Forwarded, StoreError>;
}

/// Interval of the renewals of a lease.
pub const RENEW_INTERVAL: Duration = Duration::from_millis(200);

/// The result of a renewal.
#[derive(Debug, Default)]
pub struct Renewal {
    /// Whether the lease had run out before this renewal. Other processes may have taken tasks over, so call
    /// [`Shared::reassert`] for each task.
    pub lapsed: bool,
    /// What other processes did, in order.
    pub events: Vec<PeerEvent>,
}

/// Something that another process did.
#[derive(Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// It took this task over.
    Taken(TaskId),
    /// It received a worker's sign of life for a task of this process.
    Sign {
        /// The task.
        id: TaskId,
        /// The details of the worker's heartbeat.
        details: String,
    },
    /// It found that the broker has lost this queue.
    QueueLost {
        /// The queue's name.
        queue: String,
        /// When it was missing, by the other process's clock.
        missing_at: SystemTime,
        /// The number of messages in it, if only replies may be lost.
        ready: Option<usize>,
    },
}

/// The owner of a task after a lapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// This process, as before.
    Ours,
    /// Another process.
    Theirs,
    /// Nobody: the task has ended.
    Ended,
}

/// The result of a claim.
#[derive(Debug)]
pub enum Claim {
    /// This process owns the task now.
    Ours(Record),
    /// The task belongs to a route that this process does not have, or only a newer version of the bridge can read its record.
    OtherRoute,
    /// No process can read the record of the task.
    Unreadable,
    /// The task has ended.
    Ended,
    /// There is no such task, or it ended long ago.
    Unknown,
}

/// The result of forwarding a sign of life.
#[derive(Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// The owner will read it. The status of the task is known.
    To(Status),
    /// The owner is dead, and its lease has run out: claim the task.
    Orphan,
    /// The task has ended.
    Ended,
    /// There is no such task, or it ended long ago.
    Unknown,
}
