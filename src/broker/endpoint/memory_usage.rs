//! Bounds on what all connections together have in memory: their own queues, what waits for their sockets, and their replies.
//!
//! Each queue and each outbox has a bound of its own. The sum of those bounds is gigabytes. The sums are taken again after
//! each 4 MiB that came, so that they cost nothing otherwise.

use super::open_replies::AllReplyBytes;

/// Maximum size of the messages in all queues of workers, in bytes.
pub(super) const MAX_QUEUED: usize = 32 << 20;

/// Maximum size of all outboxes, in bytes. Above it each has a sixteenth of its usual bound.
pub(super) const MAX_OUTGOING: usize = 32 << 20;

/// Number of bytes after which the sums are taken again.
pub(super) const STEP: usize = 4 << 20;

/// What is known about the sums.
#[derive(Debug, Default)]
pub(crate) struct MemoryUsage {
    /// Bytes that came into queues of workers since their sum was taken.
    pub(super) queued: usize,
    /// Bytes that came into outboxes since their sum was taken.
    pub(super) outgoing: usize,
    /// Whether the outboxes together exceed their bound.
    pub(super) is_crowded: bool,
    /// Bytes of the replies that the bridge has not finished with.
    pub(super) open_replies: AllReplyBytes,
}

impl MemoryUsage {
    /// Maximum size of an outbox at present, in bytes.
    pub(super) fn outbox_limit(&self, usual: usize) -> usize {
        match self.is_crowded {
            true => usual / 16,
            false => usual,
        }
    }
}
