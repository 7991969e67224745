//! What is learnt of a task's timeouts while the task is in flight.

use super::{heartbeat_schedule::Terms, table::InflightTable};
use crate::task::{Task, TaskId, Timeouts};
use tokio::sync::watch;

impl InflightTable {
    /// Notes the timeouts that were learnt after the task was entered.
    pub fn set_timeouts(&self, task: &Task) {
        self.with_schedule(task.id, |entry| {
            let terms = Terms::new(&entry.route.config.heartbeat, task.timeouts.heartbeat);
            entry.timeouts = task.timeouts;
            entry.schedule.set_timeouts(terms, rand::random());
        });
    }

    /// The timeouts as they are known now; `None` if the task is not in flight.
    #[must_use]
    pub fn timeouts(&self, id: TaskId) -> Option<Timeouts> {
        self.table().open.get(&id).map(|entry| entry.timeouts)
    }

    /// Resolves when the task is not in flight in this process any more.
    pub fn left(&self, id: TaskId) -> impl Future<Output = ()> + use<> {
        let mut table = self.table();
        let entry = table.open.get_mut(&id);
        let left = entry.map(|entry| {
            let sender = entry.left.get_or_insert_with(|| watch::channel(()).0);
            sender.subscribe()
        });
        drop(table);
        async move {
            // Nothing is ever sent. The sender is dropped with the entry.
            if let Some(mut left) = left {
                while left.changed().await.is_ok() {}
            }
        }
    }
}
