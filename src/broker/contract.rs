//! The broker: the seam between the bridge and whatever carries messages to workers.
//!
//! No type of an AMQP client crosses it. An implementation keeps its own connections and says through
//! [`Broker::link`] whether it can be used; callers try again when it can.

use super::{
    error::{PublishError, QueueError},
    inbound::Delivery,
    link::Link,
    message::{Message, Published},
    queue::{QueueFacts, QueueSpec},
};
use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

/// A way to hand messages on and to hear the answers.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Publishes a task's message, mandatory and persistent, and waits for the broker's confirm.
    ///
    /// While publishers are blocked it waits; while the link is away it fails at once.
    async fn publish(&self, message: &Message<'_>) -> Published;

    /// Publishes anything else: parked replies (`mandatory`) and control messages (not).
    async fn post(&self, message: &Message<'_>, mandatory: bool) -> Result<(), PublishError>;

    /// Declares or checks a queue, and says how full and how popular it is.
    async fn inspect(&self, queue: &QueueSpec) -> Result<QueueFacts, QueueError>;

    /// Looks whether an exchange of the operator's is there.
    async fn find_exchange(&self, name: &str) -> Result<(), QueueError>;

    /// Declares the parking queue, and where dead letters come to it from, once more.
    async fn declare_parking(&self) -> Result<(), QueueError>;

    /// Whether the broker can be used, as it changes.
    fn link(&self) -> watch::Receiver<Link>;

    /// Where workers send replies; the same for the life of the process.
    fn reply_to(&self) -> &str;

    /// Ends all connections in good order. With `forget_replies`, the reply queue is deleted if it is empty.
    async fn close(&self, forget_replies: bool);
}

/// Replies, across however many connections they come.
pub type Replies = mpsc::Receiver<Delivery>;
