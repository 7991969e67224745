//! What comes back from the broker: one stream of [`Inbound`].

use crate::task::{DeadLetter, HeaderValue, TaskId};
use async_trait::async_trait;
use std::fmt;

/// What comes back from the broker.
#[derive(Debug)]
pub enum Inbound {
    /// A worker's reply.
    Reply(Delivery),
    /// A task's own message, which the broker could not hand to a worker, and why.
    DeadLetter(DeadLetter, Delivery),
    /// No queue takes the task's message, though its publish was confirmed.
    Returned(TaskId),
}

/// A message as it came from the broker.
#[derive(Debug)]
pub struct Delivery {
    /// The id of the task that it is about, if the worker said so.
    pub correlation_id: Option<String>,
    /// The property `type`.
    pub kind: Option<String>,
    /// Where the worker wants an answer.
    pub reply_to: Option<String>,
    /// The MIME type that the worker gave.
    pub content_type: Option<String>,
    /// The headers that are texts or numbers.
    pub headers: Vec<(String, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
    /// What acknowledges it.
    pub receipt: Receipt,
}

/// The right, and the duty, to acknowledge one delivery.
///
/// Dropped without [`Receipt::ack`], the broker delivers it again when the connection ends.
pub struct Receipt(Box<dyn Acknowledge>);

impl Receipt {
    /// Wraps what knows how to acknowledge.
    pub fn new(acknowledge: impl Acknowledge) -> Self {
        Self(Box::new(acknowledge))
    }

    /// Whether it can still be acknowledged: its connection has not gone.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.0.is_usable()
    }

    /// Puts the delivery back into its queue, for whoever else may consume from it.
    pub async fn requeue(self) {
        self.0.requeue().await;
    }

    /// Acknowledges the delivery.
    ///
    /// Returns false where its connection has gone: then the broker delivers it again.
    pub async fn ack(self) -> bool {
        self.0.ack().await
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// How a broker acknowledges.
#[async_trait]
pub trait Acknowledge: Send + Sync + 'static {
    /// See [`Receipt::is_usable`].
    fn is_usable(&self) -> bool;

    /// See [`Receipt::ack`].
    async fn ack(&self) -> bool;

    /// See [`Receipt::requeue`].
    async fn requeue(&self);
}
