//! The parked replies: they enter their queue when they are on the disk, and leave the file when a consumer has them.

use super::{
    exchange::Name,
    message::Message,
    parked_file::Found,
    parked_replies::{Ask, Insert, NoRoom},
    queue::Position,
    queue_state::{Entry, QueueKind, QueueState},
    state::State,
};
use crate::broker::names::PARKING_QUEUE;
use std::sync::Arc;
use tokio::{sync::oneshot, time::Instant};

/// Says whether a message has been written.
pub(super) type Written = oneshot::Receiver<Result<(), String>>;

impl State {
    /// Makes the queue of the parked replies, with what its file has.
    pub(super) fn add_parking_queue(&mut self, found: Found, now: Instant) {
        let mut queue = QueueState::new(QueueKind::Parked, now);
        for (position, message) in found.messages {
            let bytes = message.bytes();
            self.parked.count(bytes);
            // Nobody knows whether a consumer had it before.
            let entry = Entry {
                redelivered: true,
                ..Entry::new(Arc::new(message))
            };
            queue.waiting.put_back(position, entry, bytes);
        }
        for bytes in found.unreadable {
            self.parked.count(bytes);
        }
        queue.waiting.begin_at(found.next);
        self.queues.insert(PARKING_QUEUE.into(), queue);
    }

    /// Parks a message. It enters the queue when it has been written, or at once if there is no file. The result of the write
    /// is then `None`.
    pub(super) fn park(
        &mut self,
        message: Message,
        now: Instant,
    ) -> Result<Option<Written>, NoRoom> {
        let bytes = message.bytes();
        self.parked.reserve(bytes)?;
        let Some(queue) = self.queues.get_mut(PARKING_QUEUE) else {
            return Ok(None);
        };
        let position = queue.waiting.reserve();
        let message = Arc::new(message);
        let (done, written) = oneshot::channel();
        let insert = Ask::Insert(Insert {
            position,
            message: Arc::clone(&message),
            done,
        });
        if self.parked.ask(insert) {
            return Ok(Some(written));
        }
        self.enqueue_parked(position, &message, now);
        Ok(None)
    }

    /// Puts a message that has been written into the queue.
    pub(super) fn enqueue_parked(
        &mut self,
        position: Position,
        message: &Arc<Message>,
        now: Instant,
    ) {
        if let Some(queue) = self.queues.get_mut(PARKING_QUEUE) {
            let entry = Entry::new(Arc::clone(message));
            queue.waiting.put_back(position, entry, message.bytes());
            self.dispatch(&PARKING_QUEUE.into(), now);
        }
    }

    /// The first parked message behind a place that no consumer has.
    pub(super) fn parked_after(&self, after: Option<Position>) -> Option<(Position, Arc<Message>)> {
        let queue = self.queues.get(PARKING_QUEUE)?;
        let (position, entry) = queue.waiting.first_after(after)?;
        Some((position, Arc::clone(&entry.message)))
    }

    /// The number of parked messages that no consumer has.
    pub(super) fn parked_waiting(&self) -> usize {
        let queue = self.queues.get(PARKING_QUEUE);
        queue.map_or(0, |queue| queue.waiting.len())
    }

    /// Deletes a parked message. False if a consumer has it, or if it is deleted.
    pub(super) fn remove_parked(&mut self, position: Position) -> bool {
        let name: Name = PARKING_QUEUE.into();
        let queue = self.queues.get_mut(&name);
        let Some(entry) = queue.and_then(|queue| queue.waiting.remove(position)) else {
            return false;
        };
        self.message_left(&name, position, entry.message.bytes());
        true
    }

    /// Notes that a message that is no task has left its queue for good.
    pub(super) fn message_left(&mut self, queue: &Name, position: Position, bytes: usize) {
        if **queue == *PARKING_QUEUE && !self.parked.ask(Ask::Remove(position, bytes)) {
            self.parked.release(bytes);
        }
    }
}
