//! The tasks that ended last. A reply to one of them is late, and casts no doubt on its connection.

use super::exchange::Name;
use crate::task::TaskId;
use std::collections::{HashMap, VecDeque};

/// The ids of the tasks that ended last.
#[derive(Debug, Default)]
pub(crate) struct EndedTasks {
    /// The queue of each; `None` for a task that was in none.
    queues: HashMap<TaskId, Option<Name>>,
    in_order: VecDeque<TaskId>,
}

impl EndedTasks {
    /// Maximum number of ids.
    const MOST: usize = 20_000;

    pub(super) fn add(&mut self, task: TaskId, queue: Option<Name>) {
        if self.queues.contains_key(&task) {
            return;
        }
        self.queues.insert(task, queue);
        self.in_order.push_back(task);
        if self.in_order.len() > Self::MOST
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.queues.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, task: TaskId) -> bool {
        self.queues.contains_key(&task)
    }

    pub(super) fn queue_of(&self, task: TaskId) -> Option<&Name> {
        self.queues.get(&task)?.as_ref()
    }
}
