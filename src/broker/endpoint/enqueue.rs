//! How a message comes into a worker's own queue, and what becomes of it if the queue is full.

use super::{
    exchange::Name,
    message::Message,
    properties::Properties,
    queue_state::{Entry, QueueKind},
    refusal::Refusal,
    state::State,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Within this time a message with a lifetime of 0 is delivered, or dropped.
const SHORTEST_LIFETIME: Duration = Duration::from_millis(1);

/// What became of a message at one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enqueued {
    /// The queue has it, or has delivered it.
    Taken,
    /// The queue is full, and its arguments say that it takes no more.
    Refused,
    /// There is no such queue.
    Missing,
}

impl State {
    /// Puts a message into a worker's own queue.
    pub(super) fn enqueue_own(
        &mut self,
        name: &Name,
        message: &Arc<Message>,
        now: Instant,
    ) -> Result<Enqueued, Refusal> {
        let (mut most, mut most_bytes) = (self.limits.queue_messages, self.limits.queue_bytes);
        let mut lifetime = expiration(&message.properties)?;
        let Some(queue) = self.queues.get_mut(name) else {
            return Ok(Enqueued::Missing);
        };
        let own = match &queue.kind {
            QueueKind::Own(own) => own,
            QueueKind::Tasks(_) => {
                return Err(Refusal::access(format_args!(
                    "queue '{name}' takes tasks of AWS alone: no task stands behind this message; start an activity instead, or use a queue of your own"
                )));
            }
            // What the bridge parks comes another way.
            QueueKind::Parked => return Ok(Enqueued::Missing),
        };
        let arguments = &own.arguments;
        most = arguments.max_messages.map_or(most, |own| own.min(most));
        most_bytes = arguments
            .max_bytes
            .map_or(most_bytes, |own| own.min(most_bytes));
        let both = [lifetime, arguments.message_ttl];
        lifetime = both.into_iter().flatten().min();
        if arguments.refuses_when_full {
            queue.drop_expired(now);
            let (count, bytes) = (queue.waiting.len(), queue.waiting.bytes());
            if count >= most || bytes + message.bytes() > most_bytes {
                return Ok(Enqueued::Refused);
            }
        }
        // With a lifetime of 0 a message is for those who consume now.
        let is_for_now = lifetime == Some(Duration::ZERO);
        let entry = Entry {
            // A consumer that has it may return it. Then it has expired.
            expires: lifetime.map(|lifetime| now + lifetime.max(SHORTEST_LIFETIME)),
            ..Entry::new(Arc::clone(message))
        };
        let position = queue.waiting.push(entry, message.bytes());
        self.dispatch(name, now);
        let Some(queue) = self.queues.get_mut(name) else {
            return Ok(Enqueued::Taken);
        };
        if is_for_now {
            queue.waiting.remove(position);
        }
        while queue.waiting.len() > most || queue.waiting.bytes() > most_bytes {
            if queue.waiting.pop().is_none() {
                break;
            }
            self.dropped += 1;
        }
        self.count_queued(message.bytes());
        Ok(Enqueued::Taken)
    }
}

/// How long a message may wait, by its property.
fn expiration(properties: &Properties) -> Result<Option<Duration>, Refusal> {
    let Some(text) = properties.expiration() else {
        return Ok(None);
    };
    let digits = std::str::from_utf8(text).ok();
    let millis: Option<u32> = digits.and_then(|digits| digits.parse().ok());
    match millis {
        Some(millis) => Ok(Some(Duration::from_millis(millis.into()))),
        None => Err(Refusal::precondition(format_args!(
            "invalid expiration '{}'",
            String::from_utf8_lossy(text)
        ))),
    }
}
