//! The calls that need a permit, and what is known of their urgency.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use tokio::time::Instant;

/// A call to AWS that needs a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Sends the result of a completed task.
    Complete,
    /// Sends the failure of a task.
    Fail,
    /// Sends that a task was canceled.
    Cancel,
    /// Sends a heartbeat of a task.
    Heartbeat(Due),
    /// Polls for a task of this route.
    Poll(RouteKey),
    /// Reads the history of a workflow.
    History,
}

/// When a heartbeat has to be sent. Heartbeats with an earlier deadline get their permits earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When AWS times the task out; `None` if never. Heartbeats without a deadline go last.
    pub deadline: Option<Instant>,
    /// From this time on the heartbeat no longer waits for results, and polls wait for it. Usually half of the timeout has
    /// passed by then.
    pub urgent_from: Instant,
}

/// One of the routes that share a rate limiter. Their polls take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey(u32);

impl RouteKey {
    /// The key of no route, for calls whose route does not matter.
    pub(super) const NONE: Self = Self(0);

    /// A key that no other route of this process has.
    #[must_use]
    pub fn unique() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        Self(LAST.fetch_add(1, Relaxed) + 1)
    }
}

/// The number of operations.
pub(super) const OPERATIONS: usize = 6;

/// The index of the heartbeats' operation. The operations before it are those of results.
pub(super) const HEARTBEATS: usize = 3;

impl Call {
    /// The index of the operation (API call), by which AWS limits the rate.
    pub(super) fn operation(self) -> usize {
        match self {
            Self::Complete => 0,
            Self::Fail => 1,
            Self::Cancel => 2,
            Self::Heartbeat(_) => HEARTBEATS,
            Self::Poll(_) => 4,
            Self::History => 5,
        }
    }

    pub(super) fn is_result(self) -> bool {
        self.operation() < HEARTBEATS
    }

    pub(super) fn is_poll(self) -> bool {
        matches!(self, Self::Poll(_))
    }

    pub(super) fn due(self) -> Option<Due> {
        match self {
            Self::Heartbeat(due) => Some(due),
            Self::Complete | Self::Fail | Self::Cancel | Self::Poll(_) | Self::History => None,
        }
    }

    pub(super) fn route(self) -> RouteKey {
        match self {
            Self::Poll(route) => route,
            Self::Complete | Self::Fail | Self::Cancel | Self::Heartbeat(_) | Self::History => {
                RouteKey::NONE
            }
        }
    }
}

impl Due {
    /// Whether more than half of the time from `urgent_from` to the deadline has passed.
    pub(super) fn nearly_late(self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| {
            let urgent_time = deadline.saturating_duration_since(self.urgent_from);
            deadline.saturating_duration_since(now) < urgent_time / 2
        })
    }
}
