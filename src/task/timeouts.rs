//! A task's timeouts, as far as they are known.

use std::time::Duration;

/// The timeouts of a task that matter to the bridge. The answer to a poll contains none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// The heartbeat timeout: how long AWS waits for the next heartbeat.
    pub heartbeat: Timeout,
    /// The start-to-close timeout: how long AWS waits for the outcome after it has answered the poll.
    pub start_to_close: Timeout,
}

/// What is known of one timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timeout {
    /// Nothing is known.
    #[default]
    Unknown,
    /// There is no timeout: SWF's `NONE`.
    Never,
    /// The default of the activity type. The task may have been scheduled with another value.
    Usually(Duration),
    /// Exactly this long.
    After(Duration),
}

impl Timeout {
    /// The length, if it is known and there is a timeout.
    #[must_use]
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::After(limit) | Self::Usually(limit) => Some(limit),
            Self::Never | Self::Unknown => None,
        }
    }

    /// The length, if it is certain.
    #[must_use]
    pub fn certain(self) -> Option<Duration> {
        match self {
            Self::After(limit) => Some(limit),
            Self::Usually(_) | Self::Never | Self::Unknown => None,
        }
    }

    /// The same value, as the default of an activity type. `Never` becomes unknown: an activity type without a default
    /// leaves the timeout to the decider that schedules the task.
    #[must_use]
    pub fn usual(self) -> Self {
        match self {
            Self::After(limit) | Self::Usually(limit) => Self::Usually(limit),
            Self::Never | Self::Unknown => Self::Unknown,
        }
    }

    /// This timeout, or the other if nothing is known of this one.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match self {
            Self::Unknown => other,
            Self::Never | Self::Usually(_) | Self::After(_) => self,
        }
    }
}

impl From<Option<Duration>> for Timeout {
    fn from(limit: Option<Duration>) -> Self {
        limit.map_or(Self::Unknown, Self::After)
    }
}
