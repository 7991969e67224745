//! The options of the RabbitMQ client.

use super::uri::Uri;
use crate::util::supervise::Supervisor;
use std::time::Duration;

/// How to reach the broker, and what the bridge needs there.
#[derive(Clone, Debug)]
pub struct Options {
    /// The addresses, tried in turn.
    pub uris: Vec<Uri>,
    /// The name of the reply queue. It stays the same for the life of the token store.
    pub reply_queue: String,
    /// Time for which the reply queue is kept without a consumer.
    pub replies_expire: Duration,
    /// Maximum number of unacknowledged replies.
    pub prefetch: u16,
    /// Ends the process if the loop that connects ends.
    pub supervisor: Supervisor,
}
