//! How to reach RabbitMQ.

use super::uri::Uri;
use crate::util::supervise::Supervisor;
use std::time::Duration;

/// How to reach the broker, and what the bridge needs there.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tried in turn.
    pub uris: Vec<Uri>,
    /// The name of the reply queue: the same for the life of the token store.
    pub reply_queue: String,
    /// How long that queue is kept while nobody consumes from it.
    pub replies_expire: Duration,
    /// How many replies may be unacknowledged at once.
    pub prefetch: u16,
    /// What ends the process where the loop that connects ends.
    pub supervisor: Supervisor,
}
