//! The phases of the process, from the start to the end of the shutdown. A drain that a person or a hook asks for has the same
//! phases up to [`Phase::Drained`], and can be taken back.

use std::time::Duration;

/// Maximum time for which AWS holds a poll. An open poll is never cancelled, so a shutdown may wait this long.
pub const POLL_HOLD: Duration = Duration::from_secs(60);

/// A phase of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The process does everything, and adopted tasks from before the start still wait to be published.
    Recovering,
    /// The process does everything.
    Running,
    /// No new poll begins, and the open polls are awaited.
    Quiescing,
    /// All polls have ended, and the tasks in flight are awaited. Replies and heartbeats go on.
    Draining,
    /// Nothing is in flight. If a person or a hook asked for the drain, the process waits for a signal, or until the drain is
    /// taken back. Otherwise it ends.
    Drained,
    /// The tasks in flight that are not left to another process are failed back to AWS.
    Flushing,
    /// The process does nothing any more.
    Closed,
}

impl Phase {
    /// Whether new polls begin in this phase.
    #[must_use]
    pub fn polls(self) -> bool {
        self <= Self::Running
    }

    /// Whether nothing is in flight any more, and nothing will come before a resume.
    #[must_use]
    pub fn is_drained(self) -> bool {
        matches!(self, Self::Drained | Self::Closed)
    }

    /// The name in logs and on the admin endpoint.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Running => "running",
            Self::Quiescing => "quiescing",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Flushing => "flushing",
            Self::Closed => "closed",
        }
    }
}
