//! How a task that somebody has ends: heartbeats, settlements, cancels, time-outs.

use crate::{
    clock::Micros,
    record::TimeoutType,
    world::{
        CancelOutcome, Failure, Refused, World,
        deadlines::Alarm,
        task::{Beat, Due, Outcome, Stage, TaskNo},
    },
};

impl World {
    /// Notes that a task was handed to someone who never got it. It stays started.
    pub(crate) fn abandon(&mut self, task: TaskNo) {
        if let Some(index) = self.index(task)
            && !std::mem::replace(&mut self.tasks[index].abandoned, true)
        {
            self.queues[self.tasks[index].queue].stats.abandoned += 1;
        }
    }

    /// A worker's sign of life; answers whether a cancel is requested.
    pub(crate) fn heartbeat(
        &mut self,
        now: Micros,
        task: TaskNo,
        beat: Beat,
    ) -> Result<bool, Refused> {
        let index = self.index(task).ok_or(Refused::Unknown)?;
        match self.tasks[index].heartbeat(now, beat) {
            Some(cancel_requested) => Ok(cancel_requested),
            None => Err(self.late(index)),
        }
    }

    /// A worker's last word on a task.
    pub(crate) fn settle(
        &mut self,
        now: Micros,
        task: TaskNo,
        outcome: Outcome,
    ) -> Result<(), Refused> {
        let index = self.index(task).ok_or(Refused::Unknown)?;
        let known = &mut self.tasks[index];
        known.settle_calls += 1;
        if !matches!(known.stage, Stage::Started { .. }) {
            return Err(self.late(index));
        }
        if matches!(outcome, Outcome::Canceled { .. }) && !known.cancel_requested {
            return Err(Refused::CancelNotRequested);
        }
        self.close(now, index, outcome);
        Ok(())
    }

    /// A decider's request to cancel: a task that nobody has yet is canceled at once. Step Functions
    /// has no such request: the task's execution is stopped, if it still runs.
    pub(crate) fn request_cancel(&mut self, now: Micros, task: TaskNo) -> CancelOutcome {
        let Some(index) = self.index(task) else {
            return CancelOutcome::Unknown;
        };
        let execution = self.tasks[index].execution;
        if self.is_running(execution) {
            self.stop_execution(now, execution, Failure::default());
            return CancelOutcome::Canceled;
        }
        let known = &mut self.tasks[index];
        match known.stage {
            Stage::Closed { .. } => return CancelOutcome::Closed,
            Stage::Scheduled => {}
            Stage::Started { .. } => {
                known.cancel_requested = true;
                return CancelOutcome::Requested;
            }
        }
        known.cancel_requested = true;
        self.close(now, index, Outcome::Canceled { details: None });
        CancelOutcome::Canceled
    }

    fn late(&mut self, index: usize) -> Refused {
        self.tasks[index].late_calls += 1;
        self.queues[self.tasks[index].queue].stats.late_calls += 1;
        Refused::Closed
    }

    /// The heartbeats of a task have not come for too long, if somebody has it.
    pub(crate) fn time_out(&mut self, now: Micros, task: TaskNo) {
        if let Some(index) = self.index(task)
            && matches!(self.tasks[index].stage, Stage::Started { .. })
        {
            self.close(now, index, Outcome::TimedOut(TimeoutType::Heartbeat));
        }
    }

    /// A time-out that was set for `at` strikes, unless it is not due after all.
    pub(super) fn check_timeout(&mut self, at: Micros, no: TaskNo, timeout: TimeoutType) {
        let Some(index) = self.index(no) else { return };
        let task = &self.tasks[index];
        match task.due(timeout, at) {
            Due::Never => {}
            // Heartbeats have come since: the one entry moves on, instead of one for each.
            Due::At(later) => self.deadlines.set(later, Alarm::Timeout(no, timeout)),
            Due::Now => self.close(at, index, Outcome::TimedOut(timeout)),
        }
    }

    pub(super) fn close(&mut self, at: Micros, index: usize, outcome: Outcome) {
        let task = &mut self.tasks[index];
        let queue = &mut self.queues[task.queue];
        if matches!(task.stage, Stage::Scheduled) {
            queue.waiting -= 1;
        }
        let after = at.saturating_sub(task.scheduled);
        queue.stats.closed(&outcome, after);
        let execution = &mut self.executions[task.execution.0];
        execution.note(index);
        if matches!(outcome, Outcome::Failed { .. } | Outcome::TimedOut(_))
            && let Some(after) = execution.retry_after()
        {
            let retry = Alarm::Retry(task.execution);
            self.deadlines.set(at.saturating_add(after), retry);
        }
        task.stage = Stage::Closed {
            started: task.started_at(),
            at,
            outcome,
        };
    }
}
