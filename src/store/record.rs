//! The record of a task in flight, and notes about it.

use crate::task::{SourceKind, TaskId, TaskToken, Timeouts};
use std::time::SystemTime;

/// The record of a task in flight. What only the message needs is stored beside it until the message is no longer needed.
#[derive(Clone, Debug)]
pub struct Record {
    /// The bridge's id of the task.
    pub id: TaskId,
    /// The name of the route that polled it.
    pub route: String,
    /// The service that handed the task out; `None` if an earlier version wrote the record.
    pub source: Option<SourceKind>,
    /// AWS's token of the task.
    pub token: TaskToken,
    /// The name of the activity type, or of the activity; empty if an earlier version wrote the record.
    pub activity: Box<str>,
    /// When AWS answered the poll that brought the task.
    pub polled_at: SystemTime,
    /// The timeouts, as far as they are known.
    pub timeouts: Timeouts,
    /// Whether nothing is to be published: a durable broker has confirmed the message, or the task was released. Until then
    /// [`Store::message`](crate::store::Store::message) returns what is to be published.
    pub published: bool,
    /// Whether a worker has said that it works on the task.
    pub begun: bool,
    /// When AWS last accepted a heartbeat for the task; `None` if the store does not know.
    pub heard: Option<SystemTime>,
    /// Whether the record was written with a durable broker. This is true until a broker that keeps no messages has told
    /// something of the task.
    pub durable: bool,
    /// The number of failed deliveries. A delivery that is under way counts as failed until its end is noted.
    pub failed_deliveries: u32,
    /// Whether the store has an outcome of the task that AWS has not taken:
    /// [`Store::kept_outcome`](crate::store::Store::kept_outcome).
    pub has_outcome: bool,
}

/// A route whose tasks this process can own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRoute {
    /// The name of the route.
    pub name: String,
    /// The service that it polls. Another service would not know the token.
    pub source: SourceKind,
}

impl OwnRoute {
    /// Whether the task is one of this route.
    #[must_use]
    pub fn has(&self, record: &Record) -> bool {
        self.name == record.route && record.source.is_none_or(|source| source == self.source)
    }
}

impl Record {
    /// Whether a durable broker may lose the message and nobody has it then: no worker has begun, and the task has no outcome.
    pub(in crate::store) fn may_be_lost(&self) -> bool {
        !self.begun && !self.has_outcome
    }
}

/// A note about a task in flight. A lost note costs little, so nobody waits until it is written. Only a broker that keeps no
/// messages causes [`Note::FailedDeliveries`] and [`Note::Released`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A worker has said that it works on the task.
    Begun,
    /// AWS accepted a heartbeat. Only a shared store keeps this note.
    Heard(SystemTime),
    /// AWS requests a cancel. Only a shared store keeps this note.
    CancelRequested,
    /// The timeouts that were learnt after the task was recorded. What was learnt before the publication is stored for a
    /// durable broker by [`Store::confirmed`](crate::store::Store::confirmed).
    Learnt(Timeouts),
    /// So many deliveries of the task have failed, a delivery that is under way included.
    FailedDeliveries(u32),
    /// A worker has begun for good. The task must not be published again, so the store drops the message.
    Released,
}
