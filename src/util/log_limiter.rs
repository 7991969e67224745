//! A limit on log lines about what fails all the time.

use std::time::Duration;

/// How often a line is written about what fails all the time.
pub(crate) const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What may fail all the time, so that a line for each would bury all others.
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
