//! The tasks in custody, and when the next of them needs something without an event from outside.

use super::{
    custody_terms::{Arrival, ConnectionId, ConsumerId, DeliveryId, Place, Terms},
    grace_clock::Grace,
};
use crate::task::TaskId;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use tokio::time::Instant;

/// One task.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) terms: Arc<Terms>,
    pub(super) state: State,
    /// The number of failed deliveries.
    pub(super) failed: u32,
    /// Whether a worker may have had the task.
    pub(super) redelivered: bool,
    /// Whether the last delivery was the first one.
    pub(super) once: bool,
    /// The number of the last delivery.
    pub(super) number: u64,
    /// Whether another process has taken the task over. Only its worker is still here.
    pub(super) foreign: bool,
    expires: Option<Instant>,
    timer: Option<Instant>,
}

/// The state of a task.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    Waiting {
        /// The consumer that returned the task, and how long others come first.
        avoid: Option<(ConsumerId, Instant)>,
    },
    Out(Holder),
    Grace {
        /// The connection of the acknowledgement. None when it has ended.
        connection: Option<ConnectionId>,
        grace: Grace,
    },
    Released {
        /// The connection that the task was delivered on. None when it has ended or a worker has given a sign of life.
        connection: Option<ConnectionId>,
    },
    Over,
}

/// The worker that has a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) connection: ConnectionId,
    pub(super) consumer: Option<ConsumerId>,
    /// Whether anything has come about the task since it was delivered.
    pub(super) spoken: bool,
    /// The end of the timeout for the acknowledgement.
    pub(super) overdue: Option<Instant>,
}

/// All tasks. The bridge bounds them: each is a task in flight, or one that a worker still holds.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<TaskId, Entry>,
    timers: BTreeSet<(Instant, TaskId)>,
}

impl Entry {
    pub(super) fn new(arrival: Arrival) -> Self {
        Self {
            terms: arrival.terms,
            state: State::Waiting { avoid: None },
            failed: arrival.failed_deliveries,
            redelivered: arrival.redelivered || arrival.failed_deliveries > 0,
            once: false,
            number: 0,
            foreign: false,
            expires: arrival.expires,
            timer: None,
        }
    }

    pub(super) fn past_limit(&self) -> bool {
        let limit = self.terms.delivery_limit;
        limit.is_some_and(|limit| self.failed > limit)
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    pub(super) fn place(&self) -> Place {
        match self.state {
            State::Waiting { .. } => Place::Waiting,
            State::Out(_) => Place::Out,
            State::Grace { .. } => Place::Grace,
            State::Released { .. } => Place::Released,
            State::Over => Place::Over,
        }
    }

    /// When the task needs something.
    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { avoid } => {
                let any_consumer = avoid.map(|(_, until)| until);
                self.expires.into_iter().chain(any_consumer).min()
            }
            State::Out(holder) => holder.overdue,
            State::Grace { .. } | State::Released { .. } | State::Over => None,
        }
    }
}

impl Table {
    pub(super) fn get(&self, task: TaskId) -> Option<&Entry> {
        self.entries.get(&task)
    }

    pub(super) fn get_mut(&mut self, task: TaskId) -> Option<&mut Entry> {
        self.entries.get_mut(&task)
    }

    /// Adds a task that is not there.
    pub(super) fn insert(&mut self, task: TaskId, entry: Entry) {
        self.entries.insert(task, entry);
        self.rearm(task);
    }

    /// Removes a task that is over.
    pub(super) fn remove(&mut self, task: TaskId) {
        self.entries.remove(&task);
    }

    /// The worker that has the task by this delivery. None if the delivery is over.
    pub(super) fn holder(&self, delivery: DeliveryId) -> Option<(&Entry, Holder)> {
        let entry = self.entries.get(&delivery.task)?;
        match entry.state {
            State::Out(holder) if entry.number == delivery.number => Some((entry, holder)),
            _ => None,
        }
    }

    /// Puts the task in its place in the order of what is due. To be called after each change of its state.
    pub(super) fn rearm(&mut self, task: TaskId) {
        let Some(entry) = self.entries.get_mut(&task) else {
            return;
        };
        let due = entry.due();
        if due == entry.timer {
            return;
        }
        if let Some(old) = std::mem::replace(&mut entry.timer, due) {
            self.timers.remove(&(old, task));
        }
        if let Some(at) = due {
            self.timers.insert((at, task));
        }
    }

    /// Takes out a task whose time has come. The caller changes its state.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<TaskId> {
        let (at, task) = *self.timers.first()?;
        if at > now {
            return None;
        }
        self.timers.pop_first();
        if let Some(entry) = self.entries.get_mut(&task) {
            entry.timer = None;
        }
        Some(task)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
