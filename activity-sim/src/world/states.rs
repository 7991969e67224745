//! Executions of AWS Step Functions: a state machine of one state, the activity, that is tried again
//! as its retry says, until an attempt succeeds or the execution is stopped.

use std::ops::Range;

use crate::{
    clock::{Micros, micros, millis},
    model::Retry,
    record::{ExecutionRecord, ExecutionStatus, TimeoutType},
    world::{
        ExecutionIds, ExecutionNo, NewTask, Outcome, World, arn,
        history::Execution,
        queue::QueueNo,
        task::{Task, TaskNo},
    },
};

/// What an execution has beyond one of a workflow.
#[derive(Debug)]
pub(super) struct Machine {
    started: Micros,
    retry: Option<Retry>,
    stopped: Option<(Micros, Failure)>,
}

/// The error and the cause that an execution ends with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: Option<String>,
    pub(crate) cause: Option<String>,
}

/// How an execution has ended.
enum End {
    Succeeded { output: Option<String> },
    Failed(Failure),
    TimedOut(TimeoutType),
    Aborted(Failure),
}

impl Execution {
    /// The places of its tasks, in order. One begins only when the one before has ended.
    fn attempts(&self) -> impl Iterator<Item = usize> {
        let mut last = None;
        let places = self.log.iter().map(|place| *place as usize);
        places.filter(move |place| last.replace(*place) != Some(*place))
    }

    /// How long after an attempt that failed the next one begins, if there is one.
    pub(super) fn retry_after(&self) -> Option<Micros> {
        let machine = self.machine.as_deref()?;
        let retry = machine.retry.filter(|_| machine.stopped.is_none())?;
        let used = self.attempts().count() - 1;
        (used < retry.max_attempts as usize).then(|| micros(retry.interval))
    }
}

impl World {
    /// Starts an execution that runs the activity of this task list; returns its first attempt.
    pub(crate) fn start_execution(
        &mut self,
        now: Micros,
        queue: QueueNo,
        asked: NewTask,
        retry: Option<Retry>,
    ) -> TaskNo {
        let no = ExecutionNo(self.executions.len());
        let name = self.execution_name(no);
        let ids = ExecutionIds {
            run_id: arn::execution(&asked.activity_type.name, &name),
            workflow_id: name,
        };
        let mut execution = Execution::new(ids);
        execution.machine = Some(Box::new(Machine {
            started: now,
            retry,
            stopped: None,
        }));
        self.executions.push(execution);
        self.schedule(now, queue, no, asked)
    }

    /// The execution of this ARN.
    pub(crate) fn execution_of(&self, arn: &str) -> Option<ExecutionNo> {
        // Its name ends with its number, see `execution_name`.
        let number: u64 = arn.rsplit('-').next()?.parse().ok()?;
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let found = self.executions.get(place)?.ids.run_id == arn;
        found.then_some(ExecutionNo(place))
    }

    /// Stops an execution that runs. Returns when it ended, be it now or before.
    pub(crate) fn stop_execution(
        &mut self,
        now: Micros,
        no: ExecutionNo,
        why: Failure,
    ) -> Option<Micros> {
        if let Some((at, _)) = self.end(no) {
            return Some(at);
        }
        self.executions[no.0].machine.as_mut()?.stopped = Some((now, why));
        let last = self.last_attempt(no)?;
        if self.tasks[last].closed().is_none() {
            self.close(now, last, Outcome::Canceled { details: None });
        }
        Some(now)
    }

    /// Whether it is an execution of Step Functions that has not ended.
    pub(super) fn is_running(&self, no: ExecutionNo) -> bool {
        self.executions[no.0].machine.is_some() && self.end(no).is_none()
    }

    /// The next attempt begins, unless the execution was stopped while it waited.
    pub(super) fn try_again(&mut self, now: Micros, no: ExecutionNo) {
        if self.is_running(no)
            && let Some(last) = self.last_attempt(no)
        {
            let Task { queue, asked, .. } = &self.tasks[last];
            let (queue, asked) = (*queue, asked.clone());
            self.schedule(now, queue, no, asked);
        }
    }

    /// The places of the executions, those of workflows included.
    pub(crate) fn execution_places(&self) -> Range<u64> {
        0..self.executions.len() as u64
    }

    /// What is known of the execution at this place, if it is one of Step Functions.
    pub(crate) fn execution_record(&self, no: ExecutionNo) -> Option<ExecutionRecord> {
        let execution = self.executions.get(no.0)?;
        let machine = execution.machine.as_deref()?;
        let last = &self.tasks[self.last_attempt(no)?];
        let id = |place| self.activity_id(self.number(place));
        let mut record = ExecutionRecord {
            name: execution.ids.workflow_id.clone(),
            arn: execution.ids.run_id.clone(),
            activity_arn: self.queues[last.queue].name.clone(),
            status: ExecutionStatus::Running,
            input: last.asked.input.as_deref().map(str::to_owned),
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

    fn last_attempt(&self, no: ExecutionNo) -> Option<usize> {
        Some(*self.executions[no.0].log.last()? as usize)
    }

    /// When and how an execution of Step Functions has ended.
    fn end(&self, no: ExecutionNo) -> Option<(Micros, End)> {
        let execution = &self.executions[no.0];
        if let Some((at, why)) = &execution.machine.as_deref()?.stopped {
            return Some((*at, End::Aborted(why.clone())));
        }
        let (at, outcome) = self.tasks[self.last_attempt(no)?].closed()?;
        let end = match outcome {
            Outcome::Completed { result } => {
                let output = result.clone();
                End::Succeeded { output }
            }
            Outcome::Failed { .. } | Outcome::TimedOut(_) if execution.retry_after().is_some() => {
                return None;
            }
            Outcome::Failed { reason, details } => End::Failed(Failure {
                error: reason.clone(),
                cause: details.clone(),
            }),
            Outcome::TimedOut(timeout) => End::TimedOut(*timeout),
            // Its task is canceled with it, and not otherwise.
            Outcome::Canceled { .. } => End::Aborted(Failure::default()),
        };
        Some((at, end))
    }
}

impl End {
    fn describe(self, record: &mut ExecutionRecord) {
        let failure = match self {
            Self::Succeeded { output } => {
                record.status = ExecutionStatus::Succeeded;
                record.output = output;
                return;
            }
            Self::Failed(failure) => {
                record.status = ExecutionStatus::Failed;
                failure
            }
            Self::TimedOut(timeout) => {
                record.status = ExecutionStatus::TimedOut;
                let error = match timeout {
                    TimeoutType::Heartbeat => "States.HeartbeatTimeout",
                    TimeoutType::ScheduleToStart
                    | TimeoutType::StartToClose
                    | TimeoutType::ScheduleToClose => "States.Timeout",
                };
                Failure {
                    error: Some(error.to_owned()),
                    cause: None,
                }
            }
            Self::Aborted(failure) => {
                record.status = ExecutionStatus::Aborted;
                failure
            }
        };
        record.error = failure.error;
        record.cause = failure.cause;
    }
}
