//! The queues of the routes, which a reload of the configuration changes.

use super::{
    custody_terms::Terms,
    exchange::Name,
    queue::Queue,
    queue_state::{QueueKind, QueueState},
    state::State,
};
use crate::broker::TaskQueue;
use std::{collections::HashMap, sync::Arc};
use tokio::time::Instant;
use tracing::warn;

impl State {
    /// Makes these the queues of the routes. A second route with the same queue shares it. A queue that is left out ends, with its
    /// consumers, unless there is a task of it.
    pub(crate) fn set_task_queues(&mut self, queues: &[TaskQueue], now: Instant) {
        let mut wanted = HashMap::<Name, &TaskQueue>::new();
        for queue in queues {
            wanted.entry(queue.name.as_str().into()).or_insert(queue);
        }
        let is_over = |(name, queue): &(&Name, &QueueState)| {
            matches!(queue.kind, QueueKind::Tasks(_))
                && !wanted.contains_key(*name)
                && !self.queue_of.values().any(|of_task| of_task == *name)
        };
        let over = self.queues.iter().filter(is_over);
        let over: Vec<Name> = over.map(|(name, _)| Arc::clone(name)).collect();
        for name in &over {
            self.remove_queue(name);
        }
        for (name, queue) in wanted {
            self.set_task_queue(&name, queue.terms(), now);
        }
    }

    fn set_task_queue(&mut self, name: &Name, terms: Terms, now: Instant) {
        match self.queues.get_mut(name).map(|queue| &mut queue.kind) {
            Some(QueueKind::Tasks(known)) if **known == terms => {}
            Some(QueueKind::Tasks(known)) => {
                self.stall_after = self.stall_after.min(terms.ack_grace / 2);
                self.custody.clear_early_acks(&terms.route);
                // The tasks that are there keep the terms with which they came.
                *known = Arc::new(terms);
            }
            Some(QueueKind::Own(_)) => {
                warn!(
                    queue = &**name,
                    "a worker's own queue has the name of a route's queue; it is deleted, and its consumers must consume again"
                );
                self.remove_queue(name);
                self.add_task_queue(name, terms, now);
            }
            Some(QueueKind::Parked) | None => self.add_task_queue(name, terms, now),
        }
    }

    /// Makes the queue of a route, unless there is one.
    pub(crate) fn add_task_queue(&mut self, name: &str, terms: Terms, now: Instant) {
        self.stall_after = self.stall_after.min(terms.ack_grace / 2);
        let mut queue = QueueState::new(QueueKind::Tasks(Arc::new(terms)), now);
        // A message of an earlier queue of this name may come back. It has a lower place, and is dropped.
        queue.waiting = Queue::starting_at(self.new_id() << 32);
        self.queues.entry(name.into()).or_insert(queue);
    }
}
