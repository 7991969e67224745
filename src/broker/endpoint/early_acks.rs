//! Workers that acknowledge before they have finished, and the routes that therefore complete nothing by an
//! acknowledgement.

use super::custody_terms::{AckMode, EarlyAck, Terms};
use crate::task::TaskId;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

/// Maximum number of tasks completed by a bare acknowledgement that are remembered.
pub(super) const MAX_COMPLETED: usize = 10_000;

/// What is known about early acknowledgements.
#[derive(Debug, Default)]
pub(super) struct EarlyAcks {
    /// Tasks that a bare acknowledgement completed and that were delivered once.
    completed: HashMap<TaskId, Arc<Terms>>,
    /// The same tasks in the order of their completion.
    order: VecDeque<TaskId>,
    /// The routes that have turned to [`AckMode::Releases`]. There are no more of them than routes.
    turned: HashSet<Arc<str>>,
}

impl EarlyAcks {
    /// What a bare acknowledgement does at present.
    pub(super) fn mode(&self, terms: &Terms) -> AckMode {
        match terms.ack {
            AckMode::Completes { written: false } if self.turned.contains(&terms.route) => {
                AckMode::Releases
            }
            mode => mode,
        }
    }

    /// Forgets what is known of a route, whose terms change.
    pub(super) fn clear(&mut self, route: &str) {
        self.turned.remove(route);
    }

    /// Remembers a task that a bare acknowledgement completed after its only delivery.
    pub(super) fn completed(&mut self, task: TaskId, terms: Arc<Terms>) {
        if self.completed.insert(task, terms).is_none() {
            self.order.push_back(task);
        }
        if self.order.len() > MAX_COMPLETED
            && let Some(oldest) = self.order.pop_front()
        {
            self.completed.remove(&oldest);
        }
    }

    /// Notes that a worker speaks about a task. Each task proves an early acknowledgement once.
    pub(super) fn proof(&mut self, task: TaskId) -> Option<EarlyAck> {
        let terms = self.completed.remove(&task)?;
        let turns = terms.ack == AckMode::Completes { written: false };
        Some(EarlyAck {
            route: Arc::clone(&terms.route),
            releases: turns,
            turned: turns && self.turned.insert(Arc::clone(&terms.route)),
        })
    }
}
