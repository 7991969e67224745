//! A queue with its consumers, its messages, and whose it is.

use super::{
    custody_terms::{ConnectionId, ConsumerId, Terms},
    exchange::Name,
    fast_tasks::FastTasks,
    message::Message,
    own_queue::OwnQueue,
    queue::{Position, Queue},
};
use crate::task::TaskId;
use std::{collections::VecDeque, sync::Arc};
use tokio::{sync::Notify, time::Instant};

/// A message in a queue, or with a consumer.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(super) message: Arc<Message>,
    pub(super) task: Option<TaskId>,
    pub(super) redelivered: bool,
    /// How often a delivery of the message failed.
    pub(super) count: u32,
    /// When the message is dropped if it still waits. The custody knows when a task expires.
    pub(super) expires: Option<Instant>,
}

impl Entry {
    /// A message between workers.
    pub(super) fn new(message: Arc<Message>) -> Self {
        Self {
            message,
            task: None,
            redelivered: false,
            count: 0,
            expires: None,
        }
    }
}

/// A queue with its consumers.
#[derive(Debug)]
pub(crate) struct QueueState {
    pub(super) waiting: Queue<Entry>,
    /// The consumers, the next one first.
    pub(super) consumers: VecDeque<ConsumerId>,
    pub(super) has_exclusive_consumer: bool,
    pub(super) kind: QueueKind,
    /// Notified when the number of messages, consumers or the credit may have changed.
    pub(super) changed: Arc<Notify>,
    /// The tasks that workers were done with quickly.
    pub(super) fast: FastTasks,
}

/// Whose queue it is.
#[derive(Clone, Debug)]
pub(crate) enum QueueKind {
    /// A route's.
    Tasks(Arc<Terms>),
    /// The parked replies.
    Parked,
    /// A worker's own.
    Own(OwnQueue),
}

/// Where a task's message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// In this queue.
    Waiting(Name, Position),
    /// With a consumer, under this tag of this channel.
    Out(ConnectionId, u16, u64),
}

impl QueueState {
    pub(super) fn new(kind: QueueKind, now: Instant) -> Self {
        Self {
            waiting: Queue::default(),
            consumers: VecDeque::new(),
            has_exclusive_consumer: false,
            kind,
            changed: Arc::new(Notify::new()),
            fast: FastTasks::new(now),
        }
    }

    /// Drops the messages at the head that have expired.
    pub(super) fn drop_expired(&mut self, now: Instant) {
        let has_expired = |entry: &Entry| entry.expires.is_some_and(|at| at <= now);
        while self.waiting.take_first(1, has_expired).is_some() {}
    }

    /// Whether only the oldest consumer gets messages.
    pub(super) fn has_single_consumer(&self) -> bool {
        match &self.kind {
            QueueKind::Own(own) => own.arguments.has_single_consumer,
            QueueKind::Tasks(_) | QueueKind::Parked => false,
        }
    }

    /// Wakes whoever waits for a change.
    pub(super) fn notify(&self) {
        self.changed.notify_waiters();
        self.changed.notify_one();
    }
}
