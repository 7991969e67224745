//! One activity task: its input, its state and its record.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    clock::{Micros, micros, millis},
    model::{ActivityType, Timeouts},
    record::{HeartbeatRecord, TaskRecord, TaskState, TimeoutType},
    world::ids::{ExecutionNo, QueueNo},
};

/// Maximum heartbeats in a record. The count of heartbeats goes on.
const MAX_HEARTBEATS: usize = 100;

/// The stage of a task. Data that belongs to a stage exists only in that stage.
#[derive(Debug)]
pub(crate) enum Stage {
    Scheduled,
    Started {
        at: Micros,
        /// The start or the newest heartbeat. The heartbeat time-out counts from here.
        last_heartbeat: Micros,
    },
    Closed {
        started: Option<Micros>,
        at: Micros,
        outcome: Outcome,
    },
}

/// How a task was closed.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Completed {
        result: Option<String>,
    },
    Failed {
        reason: Option<String>,
        details: Option<String>,
    },
    Canceled {
        details: Option<String>,
    },
    TimedOut(TimeoutType),
}

impl Outcome {
    fn state(&self) -> TaskState {
        match self {
            Self::Completed { .. } => TaskState::Completed,
            Self::Failed { .. } => TaskState::Failed,
            Self::Canceled { .. } => TaskState::Canceled,
            Self::TimedOut(_) => TaskState::TimedOut,
        }
    }
}

/// The time-outs as spans; `None` means no time-out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spans {
    pub(crate) schedule_to_start: Option<Micros>,
    pub(crate) start_to_close: Option<Micros>,
    pub(crate) schedule_to_close: Option<Micros>,
    pub(crate) heartbeat: Option<Micros>,
}

impl From<Timeouts> for Spans {
    fn from(timeouts: Timeouts) -> Self {
        Self {
            schedule_to_start: timeouts.schedule_to_start.map(micros),
            start_to_close: timeouts.start_to_close.map(micros),
            schedule_to_close: timeouts.schedule_to_close.map(micros),
            heartbeat: timeouts.heartbeat.map(micros),
        }
    }
}

/// A task as a decider schedules it. Tasks that are scheduled together share the allocations.
#[derive(Clone, Debug)]
pub(crate) struct NewTask {
    pub(crate) activity_type: Arc<ActivityType>,
    pub(crate) input: Option<Arc<str>>,
    pub(crate) spans: Spans,
    /// Whether a cancel is requested when the task starts.
    pub(crate) request_cancel: bool,
}

/// A heartbeat of a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heartbeat {
    /// The access key id that signed the call.
    pub(crate) by: Option<String>,
    pub(crate) details: Option<String>,
}

/// A task and its record.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) queue: QueueNo,
    pub(crate) execution: ExecutionNo,
    pub(crate) new: NewTask,
    pub(crate) scheduled: Micros,
    pub(crate) stage: Stage,
    /// The ids of its first two events in the history of its execution; 0 until the event happens.
    pub(crate) scheduled_event: u32,
    pub(crate) started_event: u32,
    pub(crate) identity: Option<String>,
    /// When the write of the answer that hands it out began.
    pub(crate) answered: Option<Micros>,
    pub(crate) cancel_requested: bool,
    pub(crate) abandoned: bool,
    pub(crate) heartbeats: VecDeque<HeartbeatRecord>,
    pub(crate) heartbeat_count: u64,
    pub(crate) late_calls: u64,
    pub(crate) settle_calls: u64,
}

impl Task {
    pub(crate) fn new(queue: QueueNo, execution: ExecutionNo, new: NewTask, now: Micros) -> Self {
        Self {
            queue,
            execution,
            new,
            scheduled: now,
            stage: Stage::Scheduled,
            scheduled_event: 0,
            started_event: 0,
            identity: None,
            answered: None,
            cancel_requested: false,
            abandoned: false,
            heartbeats: VecDeque::new(),
            heartbeat_count: 0,
            late_calls: 0,
            settle_calls: 0,
        }
    }

    pub(crate) fn state(&self) -> TaskState {
        match &self.stage {
            Stage::Scheduled => TaskState::Scheduled,
            Stage::Started { .. } => TaskState::Started,
            Stage::Closed { outcome, .. } => outcome.state(),
        }
    }

    /// When it was handed to a poll.
    pub(crate) fn started_at(&self) -> Option<Micros> {
        match self.stage {
            Stage::Scheduled => None,
            Stage::Started { at, .. } => Some(at),
            Stage::Closed { started, .. } => started,
        }
    }

    /// When and how it was closed.
    pub(crate) fn closed(&self) -> Option<(Micros, &Outcome)> {
        match &self.stage {
            Stage::Scheduled | Stage::Started { .. } => None,
            Stage::Closed { at, outcome, .. } => Some((*at, outcome)),
        }
    }

    /// The details of the last heartbeat.
    pub(crate) fn last_details(&self) -> Option<String> {
        self.heartbeats.back()?.details.clone()
    }

    /// Records a heartbeat of a started task and returns whether a cancel is requested. Returns `None`
    /// when the task is not in the stage of a started one.
    pub(crate) fn heartbeat(&mut self, now: Micros, heartbeat: Heartbeat) -> Option<bool> {
        let Stage::Started { last_heartbeat, .. } = &mut self.stage else {
            return None;
        };
        *last_heartbeat = now;
        self.heartbeat_count += 1;
        if self.heartbeats.len() == MAX_HEARTBEATS {
            self.heartbeats.pop_front();
        }
        self.heartbeats.push_back(HeartbeatRecord {
            at_ms: millis(now),
            by: heartbeat.by,
            details: heartbeat.details,
        });
        Some(self.cancel_requested)
    }

    /// The record, without the names that the task itself does not have.
    pub(crate) fn record(&self) -> TaskRecord {
        let mut record = TaskRecord {
            activity_id: String::new(),
            domain: String::new(),
            task_list: String::new(),
            workflow_id: String::new(),
            run_id: String::new(),
            activity_type: ActivityType::clone(&self.new.activity_type),
            input: self.new.input.as_deref().map(str::to_owned),
            state: self.state(),
            timeout_type: None,
            reason: None,
            details: None,
            result: None,
            scheduled_ms: millis(self.scheduled),
            started_ms: self.started_at().map(millis),
            answered_us: self.answered,
            closed_ms: None,
            identity: self.identity.clone(),
            heartbeats: self.heartbeats.clone(),
            heartbeat_count: self.heartbeat_count,
            cancel_requested: self.cancel_requested,
            abandoned_poll: self.abandoned,
            late_calls: self.late_calls,
            settle_calls: self.settle_calls,
        };
        if let Some((at, outcome)) = self.closed() {
            record.closed_ms = Some(millis(at));
            self.describe(outcome, &mut record);
        }
        record
    }

    fn describe(&self, outcome: &Outcome, record: &mut TaskRecord) {
        match outcome {
            Outcome::Completed { result } => record.result.clone_from(result),
            Outcome::Failed { reason, details } => {
                record.reason.clone_from(reason);
                record.details.clone_from(details);
            }
            Outcome::Canceled { details } => record.details.clone_from(details),
            Outcome::TimedOut(timeout) => {
                record.timeout_type = Some(*timeout);
                record.details = self.last_details();
            }
        }
    }

    /// Whether this time-out is due at `now`, or when to check it again.
    pub(crate) fn due(&self, timeout: TimeoutType, now: Micros) -> Due {
        let (since, span) = match (timeout, &self.stage) {
            (_, Stage::Closed { .. }) => return Due::Never,
            (TimeoutType::ScheduleToStart, Stage::Scheduled) => {
                (self.scheduled, self.new.spans.schedule_to_start)
            }
            (TimeoutType::ScheduleToClose, _) => (self.scheduled, self.new.spans.schedule_to_close),
            (TimeoutType::StartToClose, Stage::Started { at, .. }) => {
                (*at, self.new.spans.start_to_close)
            }
            (TimeoutType::Heartbeat, Stage::Started { last_heartbeat, .. }) => {
                (*last_heartbeat, self.new.spans.heartbeat)
            }
            (TimeoutType::ScheduleToStart, Stage::Started { .. })
            | (TimeoutType::StartToClose | TimeoutType::Heartbeat, Stage::Scheduled) => {
                return Due::Never;
            }
        };
        match span {
            None => Due::Never,
            Some(span) if since.saturating_add(span) <= now => Due::Now,
            Some(span) => Due::At(since.saturating_add(span)),
        }
    }
}

/// When a time-out closes a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    At(Micros),
    Never,
}
