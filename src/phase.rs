//! What the process is about.

use std::time::Duration;

/// AWS holds a poll for 60 s, and an open poll is never cancelled.
pub const POLL_HOLD: Duration = Duration::from_secs(60);

/// What the process is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything, while tasks from before the start are still to be published again.
    Recovering,
    /// Everything.
    Running,
    /// No new polls; the open ones are awaited.
    Quiescing,
    /// No polls; the tasks in flight are awaited, replies and heartbeats go on.
    Draining,
    /// What is still in flight, and shall not wait for another process, is failed back to AWS.
    Flushing,
    /// Nothing.
    Closed,
}

impl Phase {
    /// Whether new tasks are polled.
    #[must_use]
    pub fn polls(self) -> bool {
        self <= Self::Running
    }

    /// The name in logs and on the admin endpoint.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Running => "running",
            Self::Quiescing => "quiescing",
            Self::Draining => "draining",
            Self::Flushing => "flushing",
            Self::Closed => "closed",
        }
    }
}
