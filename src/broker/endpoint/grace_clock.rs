//! The graces of bare acknowledgements, on a clock that stands still while any connection is paused.

use super::custody_terms::ConnectionId;
use crate::task::TaskId;
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};
use tokio::time::Instant;

/// Maximum time by which pauses prolong one grace.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(10);

/// The graces that run.
#[derive(Debug)]
pub(super) struct GraceClock {
    /// All times are counted from here.
    origin: Instant,
    /// The connections that are paused.
    paused: HashSet<ConnectionId>,
    /// The start of the pause that lasts.
    paused_since: Duration,
    /// The sum of the pauses that are over.
    past_pauses: Duration,
    /// The graces in the order in which they end, on the clock that stands still during pauses. The values are the limits.
    ends: BTreeMap<(Duration, TaskId), Duration>,
    /// The graces in the order in which they end even if the pause lasts. The values are the ends.
    limits: BTreeMap<(Duration, TaskId), Duration>,
}

/// The end of one grace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grace {
    end: Duration,
    limit: Duration,
}

impl GraceClock {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            paused: HashSet::new(),
            paused_since: Duration::ZERO,
            past_pauses: Duration::ZERO,
            ends: BTreeMap::new(),
            limits: BTreeMap::new(),
        }
    }

    /// The number of graces.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The tasks whose graces run.
    pub(super) fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.ends.keys().map(|(_, task)| *task)
    }

    /// Starts a grace.
    pub(super) fn start(&mut self, task: TaskId, length: Duration, now: Instant) -> Grace {
        let time = self.since_origin(now);
        let grace = Grace {
            end: self.clock(time).saturating_add(length),
            limit: time.saturating_add(length).saturating_add(MAX_PAUSE),
        };
        self.ends.insert((grace.end, task), grace.limit);
        self.limits.insert((grace.limit, task), grace.end);
        grace
    }

    /// Ends a grace before its time.
    pub(super) fn stop(&mut self, task: TaskId, grace: Grace) {
        self.ends.remove(&(grace.end, task));
        self.limits.remove(&(grace.limit, task));
    }

    /// Pauses all graces. A connection that is paused already changes nothing.
    pub(super) fn pause(&mut self, connection: ConnectionId, now: Instant) {
        let first = self.paused.is_empty();
        if self.paused.insert(connection) && first {
            self.paused_since = self.since_origin(now);
        }
    }

    /// Ends the pause of one connection. The graces run again when no connection is paused.
    pub(super) fn resume(&mut self, connection: ConnectionId, now: Instant) {
        let time = self.since_origin(now);
        if self.paused.remove(&connection) && self.paused.is_empty() {
            self.past_pauses += time.saturating_sub(self.paused_since);
        }
    }

    /// Takes out a task whose grace is over.
    pub(super) fn pop_over(&mut self, now: Instant) -> Option<TaskId> {
        let time = self.since_origin(now);
        let clock = self.clock(time);
        let (task, end, limit) = match self.ends.first_key_value() {
            Some((&(end, task), &limit)) if end <= clock => (task, end, limit),
            _ => match self.limits.first_key_value() {
                Some((&(limit, task), &end)) if limit <= time => (task, end, limit),
                _ => return None,
            },
        };
        self.stop(task, Grace { end, limit });
        Some(task)
    }

    /// The time at which the next grace is over if no pause begins or ends before.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let ((end, _), _) = self.ends.first_key_value()?;
        let ((limit, _), _) = self.limits.first_key_value()?;
        let end = end.saturating_add(self.past_pauses);
        let stands = !self.paused.is_empty() && end > self.paused_since;
        let next = if stands { *limit } else { end.min(*limit) };
        self.origin.checked_add(next)
    }

    /// The time without the pauses.
    fn clock(&self, time: Duration) -> Duration {
        let until = if self.paused.is_empty() {
            time
        } else {
            time.min(self.paused_since)
        };
        until.saturating_sub(self.past_pauses)
    }

    fn since_origin(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.origin)
    }
}
