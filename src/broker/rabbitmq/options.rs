//! The options of the RabbitMQ client.

use super::access::Access;
use crate::util::supervise::Supervisor;
use std::time::Duration;

/// How to reach the broker, and what the bridge needs there.
#[derive(Clone, Debug)]
pub struct Options {
    /// The addresses, and what a connection needs.
    pub access: Access,
    /// Who connects, as the connections tell it.
    pub identity: String,
    /// The name of the reply queue. It stays the same for the life of the token store.
    pub reply_queue: String,
    /// Time for which the reply queue is kept without a consumer.
    pub replies_expire: Duration,
    /// Maximum number of unacknowledged replies, until more tasks are in flight than the slots say.
    pub prefetch: u16,
    /// Ends the process if the loop that connects ends.
    pub supervisor: Supervisor,
}

/// Maximum number of unacknowledged deliveries beyond one for each task: heartbeats, and replies to park.
pub(super) const MARGIN: u16 = 100;

/// The prefetch for this number of tasks in flight.
pub(crate) fn prefetch_for(tasks_in_flight: usize) -> u16 {
    u16::try_from(tasks_in_flight.saturating_add(MARGIN.into())).unwrap_or(u16::MAX)
}
