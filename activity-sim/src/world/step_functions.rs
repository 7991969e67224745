//! Executions of AWS Step Functions. The state machine has one state, the activity. A failed activity is
//! retried by the rule of its retry, until an attempt succeeds or the execution is stopped.

use std::ops::Range;

use crate::{
    arn,
    clock::{Micros, millis},
    model::Retry,
    record::{ExecutionRecord, ExecutionStatus, TimeoutType},
    world::{
        execution::{Execution, Machine},
        ids::{ExecutionIds, ExecutionNo, QueueNo, TaskNo},
        state::World,
        task::{NewTask, Outcome, Task},
    },
};

/// How an execution has ended.
enum End {
    Succeeded {
        output: Option<String>,
    },
    Failed {
        error: Option<String>,
        cause: Option<String>,
    },
    TimedOut(TimeoutType),
    Aborted,
}

impl World {
    /// Starts an execution for the activity of this task list and returns its first attempt.
    pub(crate) fn start_execution(
        &mut self,
        now: Micros,
        queue: QueueNo,
        new: NewTask,
        retry: Option<Retry>,
    ) -> TaskNo {
        let no = ExecutionNo(self.executions.len());
        let name = self.execution_name(no);
        let ids = ExecutionIds {
            run_id: arn::execution_arn(&new.activity_type.name, &name),
            workflow_id: name,
        };
        let mut execution = Execution::new(ids);
        execution.machine = Some(Box::new(Machine {
            started: now,
            retry,
            stopped: None,
        }));
        self.executions.push(execution);
        self.schedule(now, queue, no, new)
    }

    /// Stops an execution of Step Functions that has not ended. Returns false for any other execution.
    pub(super) fn stop_execution(&mut self, now: Micros, no: ExecutionNo) -> bool {
        if !self.is_running(no) {
            return false;
        }
        let execution = &mut self.executions[no.0];
        if let Some(machine) = execution.machine.as_mut() {
            machine.stopped = Some(now);
        }
        if let Some(last) = execution.last_attempt()
            && self.tasks[last].closed().is_none()
        {
            self.close(now, last, Outcome::Canceled { details: None });
        }
        true
    }

    /// Begins the next attempt, unless the execution was stopped before.
    pub(super) fn retry(&mut self, now: Micros, no: ExecutionNo) {
        if self.is_running(no)
            && let Some(last) = self.executions[no.0].last_attempt()
        {
            let Task { queue, new, .. } = &self.tasks[last];
            let (queue, new) = (*queue, new.clone());
            self.schedule(now, queue, no, new);
        }
    }

    /// The places of all executions, also of those of SWF.
    pub(crate) fn execution_places(&self) -> Range<u64> {
        0..self.executions.len() as u64
    }

    /// The record of the execution at this place, if it is one of Step Functions.
    pub(crate) fn execution_record(&self, no: ExecutionNo) -> Option<ExecutionRecord> {
        let execution = self.executions.get(no.0)?;
        let machine = execution.machine.as_deref()?;
        let last = &self.tasks[execution.last_attempt()?];
        let id = |place| self.activity_id(self.number(place));
        let mut record = ExecutionRecord {
            name: execution.ids.workflow_id.clone(),
            arn: execution.ids.run_id.clone(),
            activity_arn: self.queues[last.queue].name.clone(),
            status: ExecutionStatus::Running,
            input: last.new.input.as_deref().map(str::to_owned),
            output: None,
            error: None,
            cause: None,
            attempts: execution.attempts().map(id).collect(),
            started_ms: millis(machine.started),
            stopped_ms: None,
        };
        if let Some((at, end)) = self.end(no) {
            record.stopped_ms = Some(millis(at));
            end.describe(&mut record);
        }
        Some(record)
    }

    /// Whether it is an execution of Step Functions that has not ended.
    fn is_running(&self, no: ExecutionNo) -> bool {
        self.executions[no.0].machine.is_some() && self.end(no).is_none()
    }

    /// When and how an execution of Step Functions has ended.
    fn end(&self, no: ExecutionNo) -> Option<(Micros, End)> {
        let execution = &self.executions[no.0];
        if let Some(at) = execution.machine.as_deref()?.stopped {
            return Some((at, End::Aborted));
        }
        let (at, outcome) = self.tasks[execution.last_attempt()?].closed()?;
        let end = match outcome {
            Outcome::Completed { result } => {
                let output = result.clone();
                End::Succeeded { output }
            }
            Outcome::Failed { .. } | Outcome::TimedOut(_) if execution.retry_after().is_some() => {
                return None;
            }
            Outcome::Failed { reason, details } => End::Failed {
                error: reason.clone(),
                cause: details.clone(),
            },
            Outcome::TimedOut(timeout) => End::TimedOut(*timeout),
            // Only a stop of the execution cancels its task.
            Outcome::Canceled { .. } => End::Aborted,
        };
        Some((at, end))
    }
}

impl End {
    fn describe(self, record: &mut ExecutionRecord) {
        match self {
            Self::Succeeded { output } => {
                record.status = ExecutionStatus::Succeeded;
                record.output = output;
            }
            Self::Failed { error, cause } => {
                record.status = ExecutionStatus::Failed;
                record.error = error;
                record.cause = cause;
            }
            Self::TimedOut(timeout) => {
                record.status = ExecutionStatus::TimedOut;
                let error = match timeout {
                    TimeoutType::Heartbeat => "States.HeartbeatTimeout",
                    TimeoutType::ScheduleToStart
                    | TimeoutType::StartToClose
                    | TimeoutType::ScheduleToClose => "States.Timeout",
                };
                record.error = Some(error.to_owned());
            }
            Self::Aborted => record.status = ExecutionStatus::Aborted,
        }
    }
}
