//! The receipt of a message: it acknowledges the message on the connection that brought it.

use super::held::Share;
use crate::broker::{
    Acknowledge,
    amqp::{method, outbox::Outbox},
};
use amq_protocol::protocol::{AMQPClass, basic};
use async_trait::async_trait;
use bytes::BytesMut;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The one channel of the connection.
pub(super) const CHANNEL: u16 = 1;

/// Appends a method's frame.
pub(super) fn put(method: &AMQPClass, channel: u16, out: &mut BytesMut) {
    if let Err(error) = method::encode(method, channel, out) {
        tracing::warn!(%error, "a frame could not be written; this is a bug of activity-bridge");
    }
}

/// The receipt of a message.
pub(super) struct Unacknowledged {
    pub(super) tag: u64,
    pub(super) outbox: Arc<Outbox>,
    /// Whether the channel that brought the message is open. It changes while the outbox is locked.
    pub(super) is_usable: Arc<AtomicBool>,
    /// The memory of the message. It is free when the receipt is gone.
    pub(super) _share: Share,
}

impl Unacknowledged {
    /// Sends a method, unless its channel is closed. A tag means nothing on another channel.
    fn send(&self, method: basic::AMQPMethod) -> bool {
        let method = AMQPClass::Basic(method);
        self.outbox.put(|out| {
            if self.is_usable() {
                put(&method, CHANNEL, out);
            }
        });
        self.is_usable()
    }
}

#[async_trait]
impl Acknowledge for Unacknowledged {
    fn is_usable(&self) -> bool {
        self.is_usable.load(Ordering::Acquire)
    }

    async fn ack(&self) -> bool {
        self.send(basic::AMQPMethod::Ack(basic::Ack {
            delivery_tag: self.tag,
            multiple: false,
        }))
    }

    async fn requeue(&self) {
        self.send(reject(self.tag));
    }
}

/// Puts a message back into its queue.
pub(super) fn reject(tag: u64) -> basic::AMQPMethod {
    basic::AMQPMethod::Reject(basic::Reject {
        delivery_tag: tag,
        requeue: true,
    })
}
