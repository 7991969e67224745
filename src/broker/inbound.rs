//! What comes back from the broker: the items of the one inbound stream, and the receipt that acknowledges a delivery.

use crate::task::{DeadLetter, HeaderValue, TaskId};
use async_trait::async_trait;
use std::fmt;

/// One item of the inbound stream.
#[derive(Debug)]
pub enum Inbound {
    /// A worker's reply.
    Reply(Delivery),
    /// A dead letter: a task's own message that the broker took out of its queue, and why.
    DeadLetter(DeadLetter, Delivery),
    /// No queue takes the task's message, although its publish was confirmed.
    Returned(TaskId),
}

/// A message from the broker.
#[derive(Debug)]
pub struct Delivery {
    /// The property `correlation_id`, or the header of that name: the id of the task.
    pub correlation_id: Option<String>,
    /// The property `type`, or the header `reply-type`.
    pub kind: Option<String>,
    /// The property `reply_to`: where the worker wants an answer.
    pub reply_to: Option<String>,
    /// The MIME type that the worker set.
    pub content_type: Option<String>,
    /// The headers whose values are texts or numbers.
    pub headers: Vec<(String, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
    /// Acknowledges the delivery.
    pub receipt: Receipt,
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

    /// Whether the delivery can still be acknowledged: whether its connection is still open.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.0.is_usable()
    }

    /// Puts the delivery back into its queue for any consumer of that queue.
    pub async fn requeue(self) {
        self.0.requeue().await;
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
}
