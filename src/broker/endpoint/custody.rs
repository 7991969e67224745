//! Where each task is: in its queue, with a worker, acknowledged, or over.
//!
//! What a worker does with a task is in `custody_settlement`. Both know no frame and no clock. The caller keeps these
//! rules:
//!
//! - It keeps the [`DeliveryId`] of each delivery beside the delivery tag until the worker settles that tag. A delivery
//!   that is over meanwhile needs no removal.
//! - It calls [`Custody::due`] at [`Custody::next_due`], which any other call may change.
//! - It calls [`Custody::said`] when it has read a reply, before it reads on.
//! - It calls [`Custody::ended`] for each task that entered, in the end.

use super::{
    custody_table::{Entry, Holder, State},
    custody_tasks::{Tasks, overdue},
    custody_terms::{
        AckMode, Arrival, ConnectionId, ConsumerId, Delivered, DeliveryId, Due, Entered, Place,
        Recipient, Terms, Withdrawn,
    },
};
use crate::task::{Death, TaskId};
use tokio::time::Instant;

/// All tasks that the broker has.
#[derive(Debug)]
pub(crate) struct Custody {
    pub(super) tasks: Tasks,
    /// The number of the last delivery of all.
    pub(super) deliveries: u64,
}

impl Custody {
    /// An empty custody.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            tasks: Tasks::new(now),
            deliveries: 0,
        }
    }

    /// Takes a task in. It waits in its queue.
    pub(crate) fn enter(&mut self, task: TaskId, arrival: Arrival) -> Entered {
        match self.tasks.table.get(task) {
            Some(entry) if !entry.foreign => return Entered::Known,
            Some(_) => drop(self.tasks.remove(task)),
            None => {}
        }
        let mut entry = Entry::new(arrival);
        let past_limit = entry.past_limit();
        if past_limit {
            entry.state = State::Over;
        }
        self.tasks.table.insert(task, entry);
        match past_limit {
            true => Entered::DeadLetter(Death::DeliveryLimit),
            false => Entered::Waits,
        }
    }

    /// Where a task is. None if it has ended or never was here.
    pub(crate) fn place(&self, task: TaskId) -> Option<Place> {
        self.tasks.table.get(task).map(Entry::place)
    }

    /// What a bare acknowledgement of a route does at present. Where it completes, a consumer must acknowledge.
    pub(crate) fn ack_mode(&self, terms: &Terms) -> AckMode {
        self.tasks.early_acks.mode(terms)
    }

    /// Forgets what is known of workers of a route that acknowledge before they have finished, because its terms change.
    pub(crate) fn clear_early_acks(&mut self, route: &str) {
        self.tasks.early_acks.clear(route);
    }

    /// Whether a task can be delivered to a consumer now. None is a `basic.get`.
    pub(crate) fn may_deliver(
        &self,
        task: TaskId,
        consumer: Option<ConsumerId>,
        now: Instant,
    ) -> bool {
        let Some(entry) = self.tasks.table.get(task) else {
            return false;
        };
        let State::Waiting { avoid } = entry.state else {
            return false;
        };
        let avoided = avoid.is_some_and(|(id, until)| Some(id) == consumer && now < until);
        !avoided && !entry.is_expired(now)
    }

    /// Gives a waiting task to a worker. None if the task does not wait or has expired.
    pub(crate) fn deliver(
        &mut self,
        task: TaskId,
        to: Recipient,
        now: Instant,
    ) -> Option<Delivered> {
        let entry = self.tasks.table.get_mut(task)?;
        if entry.place() != Place::Waiting || entry.is_expired(now) {
            return None;
        }
        self.deliveries += 1;
        entry.number = self.deliveries;
        entry.once = !entry.redelivered;
        entry.redelivered = true;
        let delivered = Delivered {
            id: DeliveryId {
                task,
                number: entry.number,
            },
            redelivered: !entry.once,
            count: entry.failed,
            released: to.no_ack,
        };
        let holder = Holder {
            connection: to.connection,
            consumer: to.consumer,
            spoken: false,
            overdue: overdue(&entry.terms, now),
        };
        self.tasks.set(
            task,
            match to.no_ack {
                true => State::Released {
                    connection: Some(to.connection),
                },
                false => State::Out(holder),
            },
        );
        Some(delivered)
    }

    /// Notes that a connection has ended. Its open deliveries are returned one by one. Returns the released tasks that
    /// are abandoned now.
    pub(crate) fn connection_ended(
        &mut self,
        connection: ConnectionId,
        now: Instant,
    ) -> Vec<TaskId> {
        self.tasks.graces.resume(connection, now);
        let ended = self.tasks.connections.end(connection);
        for task in ended.graces.iter().chain(&ended.released) {
            if let Some(entry) = self.tasks.table.get_mut(*task)
                && let State::Grace { connection, .. } | State::Released { connection } =
                    &mut entry.state
            {
                *connection = None;
            }
        }
        ended.released.into_iter().collect()
    }

    /// Notes that a connection is not read, or is in the middle of a message. Graces stand still while any connection
    /// is paused.
    pub(crate) fn pause(&mut self, connection: ConnectionId, now: Instant) {
        self.tasks.graces.pause(connection, now);
    }

    /// Notes that a connection is read and is not in the middle of a message.
    pub(crate) fn resume(&mut self, connection: ConnectionId, now: Instant) {
        self.tasks.graces.resume(connection, now);
    }

    /// Takes out what has become due.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        while let Some(task) = self.tasks.graces.pop_over(now) {
            due.extend(self.tasks.complete(task));
        }
        while let Some(task) = self.tasks.table.pop_due(now) {
            due.extend(self.tasks.on_timer(task, now));
        }
        due
    }

    /// When something becomes due next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let next = self.tasks.table.next_due().into_iter();
        next.chain(self.tasks.graces.next_end()).min()
    }

    /// The number of graces that run. A drain waits for them.
    pub(crate) fn graces(&self) -> usize {
        self.tasks.graces.len()
    }

    /// Notes that a task has ended at AWS, by whatever. To be called for each task.
    pub(crate) fn ended(&mut self, task: TaskId) -> Withdrawn {
        match self.tasks.remove(task) {
            Some(Place::Waiting) => Withdrawn::FromQueue,
            Some(Place::Out) => Withdrawn::FromWorker,
            _ => Withdrawn::Nothing,
        }
    }

    /// Notes that another process has taken a task over. An acknowledgement of its holder still counts, for the new
    /// owner. A return does not.
    pub(crate) fn taken_over(&mut self, task: TaskId) -> Withdrawn {
        match self.tasks.table.get_mut(task) {
            Some(entry) if matches!(entry.place(), Place::Out | Place::Grace) => {
                entry.foreign = true;
                match entry.place() {
                    Place::Out => Withdrawn::FromWorker,
                    _ => Withdrawn::Nothing,
                }
            }
            _ => self.ended(task),
        }
    }
}

#[cfg(test)]
mod tests;
