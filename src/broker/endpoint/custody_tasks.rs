//! The tasks with all that hangs on their states, and the changes that several events share.

use super::{
    custody_connections::Connections,
    custody_table::{Entry, State, Table},
    custody_terms::{ConsumerId, Due, Place, Released, Returned, Terms},
    early_acks::EarlyAcks,
    grace_clock::GraceClock,
};
use crate::task::{Death, TaskId};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Interval in which a returned task goes to other consumers only.
const OTHERS_FIRST: Duration = Duration::from_millis(100);

/// All tasks. Each change of a state goes through [`Tasks::set`].
#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) table: Table,
    pub(super) graces: GraceClock,
    pub(super) connections: Connections,
    pub(super) early_acks: EarlyAcks,
}

impl Tasks {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            table: Table::default(),
            graces: GraceClock::new(now),
            connections: Connections::default(),
            early_acks: EarlyAcks::default(),
        }
    }

    /// Completes a task at the end of its grace.
    pub(super) fn complete(&mut self, task: TaskId) -> Option<Due> {
        let entry = self.table.get(task)?;
        if entry.once {
            let terms = Arc::clone(&entry.terms);
            self.early_acks.completed(task, terms);
        }
        self.finish(task);
        Some(Due::Complete(task))
    }

    /// Does what a task needs at its time.
    pub(super) fn on_timer(&mut self, task: TaskId, now: Instant) -> Option<Due> {
        let entry = self.table.get(task)?;
        match entry.state {
            State::Waiting { .. } if entry.is_expired(now) => {
                self.set(task, State::Over);
                Some(Due::DeadLetter(task, Death::Expired))
            }
            State::Waiting { .. } => {
                self.set(task, State::Waiting { avoid: None });
                Some(Due::AnyConsumer(task))
            }
            State::Out(holder) => {
                let avoid = avoid(holder.consumer, now);
                match self.wait_again(task, true, avoid) {
                    Returned::Nothing => None,
                    Returned::Waits { count } => Some(Due::TakenBack { task, count }),
                    Returned::DeadLetter(death) => Some(Due::DeadLetter(task, death)),
                }
            }
            State::Grace { .. } | State::Released { .. } | State::Over => None,
        }
    }

    /// Puts a task back into its queue, or ends it at its delivery limit.
    pub(super) fn wait_again(
        &mut self,
        task: TaskId,
        failed: bool,
        avoid: Option<(ConsumerId, Instant)>,
    ) -> Returned {
        let Some(entry) = self.table.get_mut(task) else {
            return Returned::Nothing;
        };
        if entry.foreign {
            self.remove(task);
            return Returned::Nothing;
        }
        entry.failed = entry.failed.saturating_add(failed.into());
        let count = entry.failed;
        if entry.past_limit() {
            self.set(task, State::Over);
            return Returned::DeadLetter(Death::DeliveryLimit);
        }
        self.set(task, State::Waiting { avoid });
        Returned::Waits { count }
    }

    /// Ends the grace of each task of a route.
    pub(super) fn release_all_of(&mut self, route: &str) -> Vec<Released> {
        let is_of = |task: &TaskId| {
            let entry = self.table.get(*task);
            entry.is_some_and(|entry| *entry.terms.route == *route)
        };
        let tasks: Vec<_> = self.graces.tasks().filter(is_of).collect();
        tasks
            .into_iter()
            .filter_map(|task| self.release(task))
            .collect()
    }

    /// Ends a grace with a release. None if there is no grace, or if the task is another process's.
    pub(super) fn release(&mut self, task: TaskId) -> Option<Released> {
        let entry = self.table.get(task)?;
        let State::Grace { connection, .. } = entry.state else {
            return None;
        };
        if entry.foreign {
            self.remove(task);
            return None;
        }
        self.set(task, State::Released { connection });
        Some(Released {
            task,
            abandoned: connection.is_none(),
        })
    }

    /// Notes that nothing but the end at AWS is missing. Another process tells nobody here about that end.
    pub(super) fn finish(&mut self, task: TaskId) {
        self.set(task, State::Over);
        if self.table.get(task).is_some_and(|entry| entry.foreign) {
            self.remove(task);
        }
    }

    /// Removes a task. Returns where it was.
    pub(super) fn remove(&mut self, task: TaskId) -> Option<Place> {
        let place = self.table.get(task).map(Entry::place)?;
        self.set(task, State::Over);
        self.table.remove(task);
        Some(place)
    }

    /// Changes the state of a task, and all that hangs on its state.
    pub(super) fn set(&mut self, task: TaskId, state: State) {
        let Some(entry) = self.table.get_mut(task) else {
            return;
        };
        match std::mem::replace(&mut entry.state, state) {
            State::Grace { connection, grace } => {
                self.graces.stop(task, grace);
                self.connections.remove(connection, task);
            }
            State::Released { connection } => self.connections.remove(connection, task),
            State::Waiting { .. } | State::Out(_) | State::Over => {}
        }
        match state {
            State::Grace { connection, .. } => self.connections.add_grace(connection, task),
            State::Released { connection } => self.connections.add_released(connection, task),
            State::Waiting { .. } | State::Out(_) | State::Over => {}
        }
        self.table.rearm(task);
    }
}

/// The end of the timeout for an acknowledgement.
pub(super) fn overdue(terms: &Terms, now: Instant) -> Option<Instant> {
    terms.ack_timeout.and_then(|after| now.checked_add(after))
}

/// The consumer that returns a task, and how long others come first.
pub(super) fn avoid(consumer: Option<ConsumerId>, now: Instant) -> Option<(ConsumerId, Instant)> {
    consumer.zip(now.checked_add(OTHERS_FIRST))
}
