//! The bounds of the endpoint.

use crate::broker::WorkerLimits;
use std::time::Duration;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Maximum number of connections.
    pub(crate) connections: usize,
    /// Maximum number of open channels of a connection.
    pub(crate) channels: u16,
    /// Maximum number of consumers of a connection.
    pub(crate) consumers: usize,
    /// Maximum number of queues that a connection may declare.
    pub(crate) own_queues: usize,
    /// Maximum number of workers' queues that outlive the connection that declared them.
    pub(crate) kept_queues: usize,
    /// Time without use after which such a queue ends once its connection has ended, and after which an exchange without
    /// bindings makes room for another. Kubernetes waits 5 minutes at most before it starts a crashed container again, so
    /// a worker has twice that time to come back.
    pub(crate) unused: Duration,
    /// Maximum number of bindings that a connection may make.
    pub(crate) bindings: usize,
    /// Maximum size of a message, in bytes.
    pub(crate) message_bytes: usize,
    /// The prefetch of a consumer that sets none, on a queue of tasks.
    pub(crate) default_prefetch: u32,
    /// Maximum number of replies of a connection that AWS does not have yet. Above it the connection is not read.
    pub(crate) open_replies: usize,
    /// Maximum size of those replies, in bytes.
    pub(crate) open_reply_bytes: usize,
    /// Maximum size of such replies of all connections, in bytes. Above it only connections without such a reply are read,
    /// and above twice as much none.
    pub(crate) all_open_reply_bytes: usize,
    /// Maximum size of an outbox, in bytes. Above it the connection gets no deliveries and is not read.
    pub(crate) outbox_bytes: usize,
    /// Maximum number of messages in a worker's own queue, and of parked replies.
    pub(crate) queue_messages: usize,
    /// Maximum size of the messages in a worker's own queue, and of the parked replies, in bytes.
    pub(crate) queue_bytes: usize,
}

impl Limits {
    /// Takes over the bounds of the configuration.
    pub(crate) fn set(&mut self, limits: WorkerLimits) {
        let WorkerLimits {
            connections,
            channels,
            consumers,
            own_queues,
            message_bytes,
            default_prefetch,
        } = limits;
        self.connections = connections;
        self.channels = channels;
        self.consumers = consumers;
        self.own_queues = own_queues;
        self.message_bytes = message_bytes;
        self.default_prefetch = u32::from(default_prefetch);
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000,
            channels: 255,
            consumers: 256,
            own_queues: 64,
            kept_queues: 1_000,
            unused: Duration::from_secs(600),
            bindings: 256,
            message_bytes: 1 << 20,
            default_prefetch: 1,
            open_replies: 256,
            open_reply_bytes: 4 << 20,
            all_open_reply_bytes: 16 << 20,
            outbox_bytes: 1 << 20,
            queue_messages: 1_000,
            queue_bytes: 4 << 20,
        }
    }
}
