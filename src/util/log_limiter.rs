//! A limit on log lines about repeated failures.

use std::time::Duration;

/// Minimum interval between two log lines about one topic.
pub(crate) const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// A kind of failure that can repeat so often that its log lines would hide all others.
#[derive(Clone, Copy, Debug)]
pub enum LogTopic {
    /// Polls are throttled.
    Polls,
    /// Heartbeats fail.
    Heartbeats,
    /// Outcomes are not settled.
    Outcomes,
    /// The store does not record tasks.
    Records,
}
