//! What comes back from the broker: the items of the one inbound stream, and the receipt that acknowledges a delivery.

use crate::task::{DeadLetter, HeaderValue, SettleEnd, TaskId};
use async_trait::async_trait;
use std::{collections::BTreeSet, fmt, sync::Arc};
use tokio::{sync::oneshot, time::Instant};

/// One item of the inbound stream.
///
/// What a broker tells of one task comes in the order in which it happened. Only a broker of [`Durability::Process`] tells
/// [`Inbound::Delivered`] and the items below it. Only one of [`Durability::Durable`] tells [`Inbound::QueueLost`].
///
/// [`Durability::Process`]: super::Durability::Process
/// [`Durability::Durable`]: super::Durability::Durable
#[derive(Debug)]
pub enum Inbound {
    /// A worker's reply.
    Reply(Delivery),
    /// What can be read of a message over which reading it panicked.
    Unreadable(Delivery),
    /// A dead letter: a task's own message that the broker took out of its queue, and why. A broker without a message of its
    /// own for that makes the delivery with [`Delivery::about`].
    DeadLetter(DeadLetter, Delivery),
    /// No queue takes the task's message, although its publish was confirmed.
    Returned(TaskId),
    /// A queue of tasks is missing, or was and is there again. What was in it is lost. Or the replies to its tasks were lost. So
    /// nobody may ever answer for a task that no worker has begun.
    QueueLost {
        /// The queue's name.
        queue: String,
        /// When it was known to be missing for the last time. A message whose publish began later is not lost.
        missing_at: Instant,
        /// The number of messages in it, if only replies may be lost.
        ready: Option<usize>,
        /// Told once the store has noted that the messages are lost. The broker's client waits for that before it makes the queue
        /// again. Otherwise nobody would know of the loss after a crash.
        noted: Option<oneshot::Sender<()>>,
    },
    /// A worker has the task's message. `count` deliveries of the task have failed before.
    Delivered {
        /// The task.
        task: TaskId,
        /// The number of failed deliveries.
        count: u32,
    },
    /// The task's message waits for a worker again. `count` deliveries of the task have failed by now.
    CameBack {
        /// The task.
        task: TaskId,
        /// The number of failed deliveries.
        count: u32,
    },
    /// A worker has acknowledged the task's message and has said nothing about the task. That completes the task.
    Acknowledged(TaskId),
    /// A worker has begun the task for good: the task's message is not delivered again, whatever happens.
    Released(TaskId),
    /// The connection of the worker that had begun the task for good has ended.
    Abandoned(TaskId),
    /// A worker spoke about a task that its acknowledgement has completed: it acknowledges before it has finished.
    EarlyAck {
        /// The name of the task's route.
        route: String,
        /// Whether acknowledgements therefore settle nothing from here on, for all routes to the same queue.
        releases: bool,
    },
}

/// A message from the broker.
#[derive(Debug)]
pub struct Delivery {
    /// The property `correlation_id`, or the header `correlation-id`: the id of the task.
    pub correlation_id: Option<String>,
    /// The property `type`, or the header `reply-type`. [`Delivery::reply_type`] says what it means.
    pub kind: Option<String>,
    /// The property `reply_to`: where the worker wants an answer.
    pub reply_to: Option<String>,
    /// The MIME type that the worker set.
    pub content_type: Option<String>,
    /// The headers whose values are texts or numbers.
    pub headers: Vec<(String, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
    /// The queues whose tasks the publisher may settle; `None` for all, also where the broker can't tell.
    pub queues: Option<Arc<BTreeSet<Arc<str>>>>,
    /// Whether a copy of it in the queue of replies would mean the same. A dead letter is known by the way that it came.
    pub may_be_copied: bool,
    /// Acknowledges the delivery.
    pub receipt: Receipt,
}

impl Delivery {
    /// Takes the correlation id and the type from headers where the properties are not set. Some clients can set headers, but not
    /// these properties. Some send an empty text for a property that is not set.
    pub(crate) fn or_from_headers(mut self) -> Self {
        let header = |name| match self.headers.iter().find(|(header, _)| header == name)? {
            (_, HeaderValue::Text(text)) => Some(text.clone()).filter(|text| !text.is_empty()),
            (_, HeaderValue::Integer(_)) => None,
        };
        let (id, kind) = (header("correlation-id"), header("reply-type"));
        let is_set = |text: &String| !text.is_empty();
        self.correlation_id = self.correlation_id.filter(is_set).or(id);
        self.kind = self.kind.filter(is_set).or(kind);
        self
    }

    /// A delivery that says nothing but which task it is about. Nothing has to be acknowledged.
    #[must_use]
    pub fn about(task: TaskId) -> Self {
        Self {
            correlation_id: Some(task.reveal()),
            ..Self::empty()
        }
    }

    /// A delivery that says nothing. Nothing has to be acknowledged.
    pub(crate) fn empty() -> Self {
        Self {
            correlation_id: None,
            kind: None,
            reply_to: None,
            content_type: None,
            headers: Vec::new(),
            body: Vec::new(),
            queues: None,
            may_be_copied: false,
            receipt: Receipt::new(NothingToAcknowledge),
        }
    }
}

/// The receipt of a delivery that no message stands behind.
struct NothingToAcknowledge;

#[async_trait]
impl Acknowledge for NothingToAcknowledge {
    fn is_usable(&self) -> bool {
        true
    }

    async fn ack(&self) -> bool {
        true
    }

    async fn requeue(&self) {}
}

/// The right, and the duty, to acknowledge one delivery.
///
/// If it is dropped without [`Receipt::ack`], the broker delivers the message again when the connection ends.
pub struct Receipt(Box<dyn Acknowledge>);

impl Receipt {
    /// Wraps an implementation of [`Acknowledge`].
    pub fn new(acknowledge: impl Acknowledge) -> Self {
        Self(Box::new(acknowledge))
    }

    /// A receipt for what needs no acknowledgement.
    pub(crate) fn none() -> Self {
        Self::new(NothingToAcknowledge)
    }

    /// Whether the delivery can still be acknowledged: whether its connection is still open.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.0.is_usable()
    }

    /// Puts the delivery back into its queue for any consumer of that queue. A broker without a queue of replies tells the
    /// publisher that nobody takes the message.
    pub async fn requeue(self) {
        self.0.requeue().await;
    }

    /// Tells how the settlement that the message began has ended. [`Receipt::ack`] follows.
    pub fn settled(&self, end: SettleEnd) {
        self.0.settled(end);
    }

    /// Whether the message is a parked one that is replayed.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.0.is_parked()
    }

    /// Whether the message is parked already, and must not be parked once more. If so, it hears why nobody takes what it says.
    #[must_use]
    pub fn stays_parked(&self, because: &str) -> bool {
        self.0.stays_parked(because)
    }

    /// Acknowledges the delivery.
    ///
    /// Returns false if its connection has ended. The broker then delivers the message again.
    pub async fn ack(self) -> bool {
        self.0.ack().await
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// Acknowledges one delivery in a broker's own way.
#[async_trait]
pub trait Acknowledge: Send + Sync + 'static {
    /// See [`Receipt::is_usable`].
    fn is_usable(&self) -> bool;

    /// See [`Receipt::ack`].
    async fn ack(&self) -> bool;

    /// See [`Receipt::requeue`].
    async fn requeue(&self);

    /// See [`Receipt::settled`].
    fn settled(&self, _end: SettleEnd) {}

    /// See [`Receipt::is_parked`].
    fn is_parked(&self) -> bool {
        false
    }

    /// See [`Receipt::stays_parked`]. Only a reply that is replayed is parked already.
    fn stays_parked(&self, _because: &str) -> bool {
        false
    }
}
