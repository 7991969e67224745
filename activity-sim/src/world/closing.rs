//! How a started task goes on and ends: heartbeats, settlements, time-outs.

use crate::{
    clock::Micros,
    record::TimeoutType,
    world::{
        deadlines::Alarm,
        ids::TaskNo,
        state::World,
        task::{Due, Heartbeat, Outcome, Stage},
    },
};

/// Why a heartbeat or a settlement is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The task does not exist, or existed before a reset.
    Unknown,
    /// The task is closed.
    Closed,
    /// The worker canceled the task without a request to cancel.
    CancelNotRequested,
}

impl World {
    /// Records that the poll that got a task was abandoned. The task stays started.
    pub(crate) fn abandon(&mut self, task: TaskNo) {
        if let Some(index) = self.index(task)
            && !std::mem::replace(&mut self.tasks[index].abandoned, true)
        {
            self.queues[self.tasks[index].queue].stats.abandoned += 1;
        }
    }

    /// Records a heartbeat and returns whether a cancel is requested.
    pub(crate) fn heartbeat(
        &mut self,
        now: Micros,
        task: TaskNo,
        heartbeat: Heartbeat,
    ) -> Result<bool, Refused> {
        let index = self.index(task).ok_or(Refused::Unknown)?;
        match self.tasks[index].heartbeat(now, heartbeat) {
            Some(cancel_requested) => Ok(cancel_requested),
            None => Err(self.late(index)),
        }
    }

    /// Closes a started task as its worker asks.
    pub(crate) fn settle(
        &mut self,
        now: Micros,
        task: TaskNo,
        outcome: Outcome,
    ) -> Result<(), Refused> {
        let index = self.index(task).ok_or(Refused::Unknown)?;
        let task = &mut self.tasks[index];
        task.settle_calls += 1;
        if !matches!(task.stage, Stage::Started { .. }) {
            return Err(self.late(index));
        }
        if matches!(outcome, Outcome::Canceled { .. }) && !task.cancel_requested {
            return Err(Refused::CancelNotRequested);
        }
        self.close(now, index, outcome);
        Ok(())
    }

    fn late(&mut self, index: usize) -> Refused {
        self.tasks[index].late_calls += 1;
        self.queues[self.tasks[index].queue].stats.late_calls += 1;
        Refused::Closed
    }

    /// Closes a started task by its heartbeat time-out, without waiting for it.
    pub(crate) fn time_out(&mut self, now: Micros, task: TaskNo) {
        if let Some(index) = self.index(task)
            && matches!(self.tasks[index].stage, Stage::Started { .. })
        {
            self.close(now, index, Outcome::TimedOut(TimeoutType::Heartbeat));
        }
    }

    /// Closes a task by the time-out whose alarm was set for `at`, if the time-out is due.
    pub(super) fn check_timeout(&mut self, at: Micros, no: TaskNo, timeout: TimeoutType) {
        let Some(index) = self.index(no) else { return };
        let task = &self.tasks[index];
        match task.due(timeout, at) {
            Due::Never => {}
            // There were heartbeats. The one alarm moves, in place of an alarm for each heartbeat.
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
        execution.add_event(index);
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
