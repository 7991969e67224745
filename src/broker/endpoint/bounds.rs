//! How the sums of memory over all connections are taken, and what follows from them.

use super::{
    exchange::Name,
    memory_usage::{MAX_OUTGOING, MAX_QUEUED, STEP},
    outbox::Outbox,
    queue_state::QueueKind,
    state::State,
};
use std::sync::Arc;

impl State {
    /// Counts bytes that came into a worker's queue. Above the bound the largest queues lose their oldest messages.
    pub(super) fn count_queued(&mut self, bytes: usize) {
        self.usage.queued += bytes;
        if self.usage.queued >= STEP {
            self.usage.queued = 0;
            self.shrink_queues(MAX_QUEUED);
        }
    }

    fn shrink_queues(&mut self, most: usize) {
        let own = self.queues.iter();
        let own = own.filter(|(_, queue)| matches!(queue.kind, QueueKind::Own(_)));
        let mut sizes: Vec<(usize, Name)> = own
            .map(|(name, queue)| (queue.waiting.bytes(), Arc::clone(name)))
            .collect();
        let mut all: usize = sizes.iter().map(|(bytes, _)| bytes).sum();
        sizes.sort_unstable();
        while all > most
            && let Some((bytes, name)) = sizes.pop()
            && let Some(queue) = self.queues.get_mut(&name)
        {
            while queue.waiting.bytes() > bytes / 2 && queue.waiting.pop().is_some() {
                self.dropped += 1;
            }
            all -= bytes - queue.waiting.bytes();
        }
    }

    /// Counts bytes that came into an outbox.
    pub(super) fn count_outgoing(&mut self, bytes: usize) {
        self.usage.outgoing += bytes;
        if self.usage.outgoing >= STEP {
            self.usage.outgoing = 0;
            let outboxes = self.connections.values();
            let all: usize = outboxes
                .map(|connection| Outbox::bytes(&connection.outbox))
                .sum();
            self.usage.is_crowded = all > MAX_OUTGOING;
        }
    }
}
