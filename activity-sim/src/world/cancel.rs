//! Requests to cancel a task.

use crate::{
    clock::Micros,
    world::{
        ids::TaskNo,
        state::World,
        task::{Outcome, Stage},
    },
};

/// The effect of a request to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelOutcome {
    Requested,
    Canceled,
    Closed,
    Unknown,
}

impl World {
    /// A decider's request to cancel. A task that no worker has is canceled at once. Step Functions has
    /// no such request: there the task's execution is stopped, if it has not ended.
    pub(crate) fn request_cancel(&mut self, now: Micros, task: TaskNo) -> CancelOutcome {
        let Some(index) = self.index(task) else {
            return CancelOutcome::Unknown;
        };
        let execution = self.tasks[index].execution;
        if self.stop_execution(now, execution) {
            return CancelOutcome::Canceled;
        }
        let task = &mut self.tasks[index];
        match task.stage {
            Stage::Closed { .. } => CancelOutcome::Closed,
            Stage::Started { .. } => {
                task.cancel_requested = true;
                CancelOutcome::Requested
            }
            Stage::Scheduled => {
                task.cancel_requested = true;
                self.close(now, index, Outcome::Canceled { details: None });
                CancelOutcome::Canceled
            }
        }
    }
}
