//! The calls of the bridge: a task comes, a task is over, how ready a queue is, messages of the bridge to workers.

use super::{
    bindings::header_fields,
    custody_terms::{Arrival, Entered, Withdrawn},
    enqueue::Enqueued,
    exchange::Name,
    message::Message,
    queue_state::{Entry, Location, QueueKind},
    state::State,
};
use crate::{broker::Readiness, task::TaskId};
use std::sync::Arc;
use tokio::{sync::Notify, time::Instant};

/// A task that is to be delivered.
#[derive(Debug)]
pub(crate) struct NewTask {
    pub(crate) id: TaskId,
    pub(crate) message: Message,
    /// How often a delivery failed in earlier processes.
    pub(crate) failed_deliveries: u32,
    /// Whether a worker may have had it in an earlier process.
    pub(crate) redelivered: bool,
    /// When it becomes a dead letter if it still waits.
    pub(crate) expires: Option<Instant>,
}

impl State {
    /// From here on tasks are delivered, or not any more.
    pub(crate) fn set_delivers(&mut self, delivers: bool, now: Instant) {
        self.delivers = delivers;
        let names: Vec<Name> = self.queues.keys().cloned().collect();
        for name in names {
            self.dispatch(&name, now);
        }
    }

    /// Whether the bridge has taken every acknowledgement, and whatever else workers have done.
    pub(crate) fn has_told_all(&self) -> bool {
        self.custody.graces() == 0 && self.events.capacity() == self.events.max_capacity()
    }

    /// Puts a task into its queue. A task that is here already stays as it is. False if there is no such queue.
    pub(crate) fn add_task(&mut self, queue: &str, task: NewTask, now: Instant) -> bool {
        let name: Name = queue.into();
        let Some(state) = self.queues.get_mut(&name) else {
            return false;
        };
        let QueueKind::Tasks(terms) = &state.kind else {
            return false;
        };
        let arrival = Arrival {
            terms: Arc::clone(terms),
            failed_deliveries: task.failed_deliveries,
            redelivered: task.redelivered,
            expires: task.expires,
        };
        match self.custody.enter(task.id, arrival) {
            Entered::Known => return true,
            Entered::DeadLetter(death) => {
                self.queue_of.insert(task.id, Arc::clone(&name));
                self.dead_letter(task.id, &name, death);
                return true;
            }
            Entered::Waits => {}
        }
        let entry = Entry {
            message: Arc::new(task.message),
            task: Some(task.id),
            redelivered: task.redelivered,
            count: task.failed_deliveries,
            expires: None,
        };
        let bytes = entry.message.bytes();
        let position = state.waiting.push(entry, bytes);
        self.queue_of.insert(task.id, Arc::clone(&name));
        self.locations
            .insert(task.id, Location::Waiting(Arc::clone(&name), position));
        self.dispatch(&name, now);
        self.sooner.notify_one();
        true
    }

    /// Notes that another process has taken a task over.
    pub(crate) fn task_taken_over(&mut self, task: TaskId) {
        let queue = self.queue_of.get(&task).cloned();
        let withdrawn = self.custody.taken_over(task);
        self.clear_message(task, withdrawn);
        // Its worker may still speak, if its user has a right to the queue.
        self.ended.add(task, queue);
    }

    /// Notes that a task is over at AWS.
    pub(crate) fn end_task(&mut self, task: TaskId) {
        let queue = self.queue_of.get(&task).cloned();
        let withdrawn = self.custody.ended(task);
        self.clear_message(task, withdrawn);
        self.ended.add(task, queue);
    }

    fn clear_message(&mut self, task: TaskId, withdrawn: Withdrawn) {
        match withdrawn {
            Withdrawn::FromQueue | Withdrawn::FromWorker => {
                self.take_message(task);
            }
            Withdrawn::Nothing => {
                self.locations.remove(&task);
            }
        }
        self.queue_of.remove(&task);
    }

    /// How ready a route's queue is; `None` if there is no such queue.
    pub(crate) fn readiness(&mut self, name: &str, now: Instant) -> Option<Readiness> {
        let queue = self.queues.get(name)?;
        let credit = queue.consumers.iter().map(|id| self.credit(*id)).sum();
        let (ready, consumers) = (queue.waiting.len() as u64, queue.consumers.len() as u64);
        let queue = self.queues.get_mut(name)?;
        Some(Readiness {
            ready,
            consumers,
            credit: Some(credit),
            taken_last_second: queue.fast.last_second(now),
        })
    }

    /// The number of tasks of a queue that workers have.
    pub(crate) fn unacknowledged(&self, name: &str) -> usize {
        let is_out = |(task, location): &(&TaskId, &Location)| {
            matches!(location, Location::Out(..))
                && self
                    .queue_of
                    .get(task)
                    .is_some_and(|queue| **queue == *name)
        };
        self.locations.iter().filter(is_out).count()
    }

    /// What is notified when the readiness of a queue may have changed.
    pub(crate) fn changes_of(&self, name: &str) -> Option<Arc<Notify>> {
        self.queues
            .get(name)
            .map(|queue| Arc::clone(&queue.changed))
    }

    /// Sends a message of the bridge to the workers' queues that take it. Returns how many do.
    pub(crate) fn send_own(&mut self, message: Message, now: Instant) -> usize {
        let queues = match message.exchange.is_empty() {
            true => [Arc::clone(&message.routing_key)].into(),
            false => {
                let fields = header_fields(message.properties.headers());
                self.exchanges
                    .route(&message.exchange, &message.routing_key, &fields)
            }
        };
        let message = Arc::new(message);
        let taken = queues
            .iter()
            .filter(|queue| self.enqueue_own(queue, &message, now) == Ok(Enqueued::Taken));
        taken.count()
    }
}
