//! Records and totals.

use std::ops::Range;

use crate::{
    record::{Summary, TaskRecord},
    world::{ids::TaskNo, state::World, stats::Stats},
};

impl World {
    /// Number of tasks that wait in a task list.
    pub(crate) fn waiting(&self, domain: &str, name: &str) -> u64 {
        self.queues
            .find(domain, name)
            .map_or(0, |queue| self.queues[queue].waiting)
    }

    /// The domain and the name of the task list of a task.
    pub(crate) fn place_of(&self, task: TaskNo) -> Option<(&str, &str)> {
        let queue = &self.queues[self.task(task)?.queue];
        Some((&queue.domain, &queue.name))
    }

    /// The totals of the task lists of this name, or of all, without the counts of calls.
    pub(crate) fn summary(&self, task_list: Option<&str>) -> Summary {
        let mut total = Stats::default();
        let mut open_polls = 0;
        for queue in self.queues.iter() {
            if task_list.is_none_or(|name| name == queue.name) {
                total.add(&queue.stats);
                total.max_open_polls = total.max_open_polls.max(queue.stats.max_open_polls);
                open_polls += queue.open_polls as u64;
            }
        }
        if task_list.is_none() {
            total.max_open_polls = self.max_open_polls;
        }
        total.summary(open_polls)
    }

    /// The record of a task.
    pub(crate) fn record(&self, no: TaskNo) -> Option<TaskRecord> {
        let task = self.task(no)?;
        let queue = &self.queues[task.queue];
        let ids = &self.executions[task.execution.0].ids;
        let mut record = task.record();
        record.activity_id = self.activity_id(no);
        record.domain.clone_from(&queue.domain);
        record.task_list.clone_from(&queue.name);
        record.workflow_id.clone_from(&ids.workflow_id);
        record.run_id.clone_from(&ids.run_id);
        Some(record)
    }

    /// The numbers of all tasks, in order of scheduling.
    pub(crate) fn task_numbers(&self) -> Range<u64> {
        self.first..self.first + self.tasks.len() as u64
    }
}
