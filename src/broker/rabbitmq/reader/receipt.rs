//! The receipt of a message: it acknowledges the message on the connection that brought it.

use super::handshake::CHANNEL;
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
    /// Whether the connection is open.
    pub(super) is_usable: Arc<AtomicBool>,
}

impl Unacknowledged {
    fn send(&self, method: basic::AMQPMethod) -> bool {
        let method = AMQPClass::Basic(method);
        self.outbox.put(|out| put(&method, CHANNEL, out));
        self.is_usable()
    }
}

#[async_trait]
impl Acknowledge for Unacknowledged {
    fn is_usable(&self) -> bool {
        self.is_usable.load(Ordering::Acquire)
    }

    async fn ack(&self) -> bool {
        self.is_usable()
            && self.send(basic::AMQPMethod::Ack(basic::Ack {
                delivery_tag: self.tag,
                multiple: false,
            }))
    }

    async fn requeue(&self) {
        self.send(basic::AMQPMethod::Reject(basic::Reject {
            delivery_tag: self.tag,
            requeue: true,
        }));
    }
}
