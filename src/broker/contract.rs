//! What the bridge wants of a broker.
//!
//! No type, name or quirk of an implementation crosses this seam. An implementation keeps its own connections. It says through
//! [`Broker::link`] whether it can be used, and brings everything that comes back in one stream of [`Inbound`].

use super::{
    destination::Destination,
    error::{PublishError, ReadinessError},
    inbound::{Delivery, Inbound},
    link::Link,
    message::{Announcement, ParkedMessage, TaskMessage},
};
use crate::task::{Status, TaskId};
use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

/// Everything that comes back from the broker, across however many connections. Bounded.
pub type InboundStream = mpsc::Receiver<Inbound>;

/// A way to hand tasks to workers, and to hear from them.
///
/// Every call may be repeated. No call waits for longer than the implementation's own time-outs, but that
/// [`Broker::publish`], [`Broker::park`] and [`Broker::announce`] wait while the broker takes no messages ([`Link::Blocked`]).
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Hands a task's message to the broker, and waits until the broker has it.
    ///
    /// # Errors
    ///
    /// Why the broker does not have it, or is not known to have it. Each error may be gone at the next attempt.
    async fn publish(&self, message: &TaskMessage<'_>) -> Result<(), PublishError>;

    /// Takes a task's message back where no worker has it. A broker that can't do that does nothing.
    async fn withdraw(&self, task: TaskId);

    /// Keeps a message that can't be used, with the reason.
    ///
    /// # Errors
    ///
    /// Why it is not kept, or not known to be.
    async fn park(&self, message: &ParkedMessage<'_>, because: &str) -> Result<(), PublishError>;

    /// Tells whoever works on the task that it should stop, and why.
    ///
    /// # Errors
    ///
    /// Why it could not be told.
    async fn announce(&self, task: TaskId, what: Announcement) -> Result<(), PublishError>;

    /// Answers a worker's sign of life, if the sign says where to.
    ///
    /// # Errors
    ///
    /// Why it could not be answered.
    async fn answer(&self, sign: &Delivery, status: Status) -> Result<(), PublishError>;

    /// Where workers send replies; the same for the life of the process.
    fn reply_to(&self) -> &str;

    /// Whether tasks may go to this destination now.
    ///
    /// # Errors
    ///
    /// Why they may not.
    async fn readiness(&self, destination: &Destination) -> Result<Readiness, ReadinessError>;

    /// Waits until the readiness of a destination may have changed. A broker that can't tell waits for ever; its readiness is to
    /// be asked for at intervals.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    async fn readiness_changed(&self, destination: &Destination);

    /// Whether the broker can be used, as it changes.
    fn link(&self) -> watch::Receiver<Link>;

    /// Whether the broker keeps what it has confirmed.
    fn durability(&self) -> Durability;

    /// Ends all connections in good order. `expects_replies`: replies may still come, for the next process or another one.
    async fn close(&self, expects_replies: bool);
}

/// Whether a broker keeps a message once it has confirmed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does, across its own restarts and the bridge's. The store need not keep the message any more.
    Durable,
    /// The message is lost with the process. The store keeps it until the task has begun for good or has ended.
    Process,
}

/// What a broker tells of a destination. A destination without a queue to look at tells zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Messages that wait for a consumer.
    pub ready: u64,
    /// Consumers.
    pub consumers: u64,
    /// How many more messages the consumers take at once; `None` where the broker can't tell.
    pub credit: Option<u64>,
}
