//! When to look which of the workers' own queues nobody uses.

use super::exchange::Name;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// The queues that may end without use.
#[derive(Debug, Default)]
pub(crate) struct UnusedQueues {
    /// When to look at which of them. Each is in it once.
    pub(super) checks: BTreeSet<(Instant, Name)>,
    /// The number of queues that outlive the connection that declared them.
    pub(super) kept: usize,
}

impl UnusedQueues {
    /// When the next queue is to be looked at.
    pub(super) fn next_check(&self) -> Option<Instant> {
        self.checks.first().map(|(at, _)| *at)
    }
}
