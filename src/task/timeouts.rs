//! What is known of a task's timeouts.

use std::time::Duration;

/// The timeouts of a task that matter to the bridge. A poll's answer tells none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// How long AWS waits for a heartbeat.
    pub heartbeat: Timeout,
    /// How long AWS waits for the outcome, from the poll's answer on.
    pub start_to_close: Timeout,
}

/// What is known of one timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timeout {
    /// Nothing.
    #[default]
    Unknown,
    /// There is none: SWF's `NONE`.
    Never,
    /// This long, unless the task was scheduled with another: the default of its activity type.
    Usually(Duration),
    /// This long.
    After(Duration),
}

impl Timeout {
    /// Its length, as far as it is known and has one.
    #[must_use]
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::After(limit) | Self::Usually(limit) => Some(limit),
            Self::Never | Self::Unknown => None,
        }
    }

    /// Its length, where that is certain.
    #[must_use]
    pub fn certain(self) -> Option<Duration> {
        match self {
            Self::After(limit) => Some(limit),
            Self::Usually(_) | Self::Never | Self::Unknown => None,
        }
    }

    /// The same, as the default of an activity type. That there is none is no default: who declares none leaves it to
    /// whoever schedules.
    #[must_use]
    pub fn usual(self) -> Self {
        match self {
            Self::After(limit) | Self::Usually(limit) => Self::Usually(limit),
            Self::Never | Self::Unknown => Self::Unknown,
        }
    }

    /// This, or the other where nothing is known of this.
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
