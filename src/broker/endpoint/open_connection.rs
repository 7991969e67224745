//! A connection after its handshake: its channels, their consumers, and the deliveries that are not acknowledged.

use super::{
    confirms::Confirms,
    custody_terms::{ConnectionId, ConsumerId, DeliveryId},
    exchange::Name,
    open_replies::OpenReplies,
    outbox::Outbox,
    queue::Position,
    queue_state::Entry,
};
use bytes::BytesMut;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use tokio::time::Instant;
use tracing::error;

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) outbox: Arc<Outbox>,
    pub(super) channels: BTreeMap<u16, Channel>,
    pub(super) frame_max: u32,
    /// Whether the client wants to be told when a queue under its consumer is deleted.
    pub(super) wants_cancels: bool,
    pub(super) open_replies: Arc<OpenReplies>,
    pub(super) own_queues: usize,
    /// The channels with confirms that are not sent yet.
    pub(super) confirming: BTreeSet<u16>,
    /// The queues whose tasks it may see and settle; `None` for all.
    pub(super) allowed: Option<Arc<BTreeSet<Name>>>,
    /// Whether it may consume the parked replies.
    pub(super) sees_parked: bool,
    /// The size of the workers' messages that it has not acknowledged, in bytes.
    pub(super) unacked_bytes: usize,
}

/// A channel.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Tells this channel from an earlier one with the same number.
    pub(super) generation: u64,
    pub(super) unacked: BTreeMap<u64, Unacked>,
    pub(super) last_tag: u64,
    /// The prefetch of consumers that begin from now on; 0 for none.
    pub(super) prefetch: u32,
    /// The bound on all unacknowledged deliveries of the channel; 0 for none.
    pub(super) global_prefetch: u32,
    pub(super) consumers: HashMap<Arc<str>, ConsumerId>,
    /// The confirms of the channel, if it is in confirm mode.
    pub(super) confirms: Option<Confirms>,
    pub(super) last_queue: Name,
}

/// A delivery that is not acknowledged.
#[derive(Debug)]
pub(crate) struct Unacked {
    pub(super) consumer: Option<ConsumerId>,
    pub(super) queue: Name,
    pub(super) position: Position,
    /// `None` for a message between workers.
    pub(super) delivery: Option<DeliveryId>,
    /// When it was delivered.
    pub(super) since: Instant,
    /// `None` for a task that ended meanwhile or was taken back.
    pub(super) entry: Option<Entry>,
}

/// A consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(super) connection: ConnectionId,
    pub(super) channel: u16,
    pub(super) tag: Arc<str>,
    pub(super) queue: Name,
    pub(super) no_ack: bool,
    /// Maximum number of unacknowledged deliveries; `None` for no bound.
    pub(super) prefetch: Option<u32>,
    pub(super) unacked: u32,
}

impl Connection {
    /// Notes that a message is confirmed. [`State::send_confirms`] tells the client.
    pub(super) fn note_confirm(&mut self, number: u16, sequence: u64) {
        let channel = self.channels.get_mut(&number);
        if let Some(confirms) = channel.and_then(|channel| channel.confirms.as_mut()) {
            confirms.confirm(sequence);
            self.confirming.insert(number);
        }
    }

    /// Appends what `write` writes. Nothing that the endpoint writes is too long for a frame, so an error is a bug.
    pub(super) fn put(&self, write: impl FnOnce(&mut BytesMut) -> Result<(), String>) {
        self.outbox.put(|out| {
            if let Err(error) = write(out) {
                error!(
                    error,
                    "a frame could not be written; this is a bug of activity-bridge"
                );
            }
        });
    }
}
