//! What the simulator reports about its tasks and calls.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::model::ActivityType;

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It waits in its task list.
    Scheduled,
    /// It was handed to a poll.
    Started,
    /// Closed by RespondActivityTaskCompleted or SendTaskSuccess.
    Completed,
    /// Closed by RespondActivityTaskFailed or SendTaskFailure.
    Failed,
    /// Closed by RespondActivityTaskCanceled, by a cancel before the hand-out, or by the stop of its
    /// execution.
    Canceled,
    /// Closed by one of the time-outs.
    TimedOut,
}

impl TaskState {
    /// Whether a worker can still settle the task.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Scheduled | Self::Started)
    }
}

/// The time-out that closed a task, spelt as in SWF's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TimeoutType {
    /// No poll took the task in time.
    ScheduleToStart,
    /// The worker took too long.
    StartToClose,
    /// The wait and the work took too long together.
    ScheduleToClose,
    /// No heartbeat for too long.
    Heartbeat,
}

/// One accepted heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatRecord {
    /// Unix milliseconds.
    pub at_ms: u64,
    /// The access key id that signed the call. It identifies a process that has a key of its own.
    pub by: Option<String>,
    /// The details that the worker gave.
    pub details: Option<String>,
}

/// All that happened to one task. Times are Unix milliseconds, except one.
///
/// A task of Step Functions has the domain `""`. Its task list is the activity's ARN, its type has the
/// activity's name, and `workflow_id` and `run_id` are the execution's name and ARN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Unique in the process.
    pub activity_id: String,
    /// The domain of its task list.
    pub domain: String,
    /// The task list in which it waited.
    pub task_list: String,
    /// The workflow execution's id.
    pub workflow_id: String,
    /// The workflow execution's run id.
    pub run_id: String,
    /// The activity type.
    pub activity_type: ActivityType,
    /// The input.
    pub input: Option<String>,
    /// The state now.
    pub state: TaskState,
    /// Only for the state [`TaskState::TimedOut`].
    pub timeout_type: Option<TimeoutType>,
    /// The reason of RespondActivityTaskFailed, or the error of SendTaskFailure.
    pub reason: Option<String>,
    /// The details of RespondActivityTaskFailed or RespondActivityTaskCanceled, or the cause of
    /// SendTaskFailure. For a task that timed out, the details of its last heartbeat.
    pub details: Option<String>,
    /// The result of RespondActivityTaskCompleted, or the output of SendTaskSuccess.
    pub result: Option<String>,
    /// When it was scheduled.
    pub scheduled_ms: u64,
    /// When it was handed to a poll.
    pub started_ms: Option<u64>,
    /// When the write of the answer that hands it out began, in Unix microseconds. `None` for a poll whose
    /// caller had gone before.
    pub answered_us: Option<u64>,
    /// When it was closed.
    pub closed_ms: Option<u64>,
    /// The identity of the poll that got it.
    pub identity: Option<String>,
    /// The newest 100 accepted heartbeats, oldest first.
    pub heartbeats: VecDeque<HeartbeatRecord>,
    /// All accepted heartbeats.
    pub heartbeat_count: u64,
    /// Whether the next heartbeat is answered with `cancelRequested`.
    pub cancel_requested: bool,
    /// Whether the poll that got it was abandoned: its caller had gone, or its answer was lost.
    pub abandoned_poll: bool,
    /// Respond and heartbeat calls that arrived after it was closed.
    pub late_calls: u64,
    /// All Respond calls for it that reached the service, accepted or not.
    pub settle_calls: u64,
}

/// The status of an execution of Step Functions, spelt as by the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutionStatus {
    /// An attempt is open, or a retry follows.
    Running,
    /// An attempt succeeded.
    Succeeded,
    /// The last attempt failed.
    Failed,
    /// The last attempt timed out.
    TimedOut,
    /// A request to cancel stopped it.
    Aborted,
}

/// All that happened to one execution of Step Functions. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionRecord {
    /// Unique in the process.
    pub name: String,
    /// The execution's ARN.
    pub arn: String,
    /// The ARN of the activity that it runs.
    pub activity_arn: String,
    /// The status now.
    pub status: ExecutionStatus,
    /// The input.
    pub input: Option<String>,
    /// The output of the attempt that succeeded.
    pub output: Option<String>,
    /// The error of the last attempt: of its failure, or for a time-out `States.Timeout` or
    /// `States.HeartbeatTimeout`.
    pub error: Option<String>,
    /// The cause of the last attempt's failure.
    pub cause: Option<String>,
    /// The activity ids of its tasks, in order.
    pub attempts: Vec<String>,
    /// When it was started.
    pub started_ms: u64,
    /// When it ended.
    pub stopped_ms: Option<u64>,
}

/// The calls of one action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCount {
    /// Calls that were answered with success.
    pub ok: u64,
    /// Other calls by fault code. Calls without an answer count as `drop`, `reset` or `lost-answer`
    /// (injected), or as `client-gone` (the caller closed the connection first).
    pub errors: BTreeMap<String, u64>,
}

/// How many calls of an action arrived in each second, including those that were throttled or failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// When the first of the seconds began, in Unix milliseconds.
    pub from_ms: u64,
    /// One number for each second since the first call after the last reset, at most the newest 600.
    /// The last is the current second, which is not over.
    pub per_second: Vec<u64>,
}

/// The totals of one task list or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// All scheduled tasks.
    pub scheduled: u64,
    /// Tasks that were handed to a poll.
    pub polled: u64,
    /// Polls that ended without a task.
    pub empty_polls: u64,
    /// Tasks closed as completed.
    pub completed: u64,
    /// Tasks closed as failed.
    pub failed: u64,
    /// Tasks closed as canceled.
    pub canceled: u64,
    /// Tasks closed by a time-out.
    pub timed_out: u64,
    /// The same by time-out. A time-out that closed no task is not in it.
    pub timed_out_by: BTreeMap<TimeoutType, u64>,
    /// Tasks not closed yet.
    pub open: u64,
    /// Tasks whose poll was abandoned: its caller had gone, or its answer was lost.
    pub abandoned: u64,
    /// Respond and heartbeat calls for closed tasks.
    pub late_calls: u64,
    /// Median time from scheduled to closed, within 1 %; 0 without a closed task.
    pub p50_ms: f64,
    /// 99th percentile of the same time.
    pub p99_ms: f64,
    /// Polls that are held now, including abandoned ones.
    pub open_polls: u64,
    /// Maximum of polls that were held at the same time.
    pub max_open_polls: u64,
    /// Connections that are open now, of all callers.
    pub connections: u64,
    /// Maximum of connections that were open at the same time.
    pub max_connections: u64,
    /// The calls by action. They are always those of the whole simulator.
    pub calls: BTreeMap<String, CallCount>,
}

impl Summary {
    /// All closed tasks.
    pub fn closed(&self) -> u64 {
        self.completed + self.failed + self.canceled + self.timed_out
    }

    /// Calls of the action that were answered with success.
    pub fn ok(&self, action: &str) -> u64 {
        self.calls.get(action).map_or(0, |count| count.ok)
    }

    /// Calls of the action that ended with this fault.
    pub fn errors(&self, action: &str, fault: &str) -> u64 {
        let count = self.calls.get(action);
        count
            .and_then(|count| count.errors.get(fault))
            .copied()
            .unwrap_or(0)
    }
}

/// The effect of a request to cancel, a list of activity ids for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelReport {
    /// Started tasks: the answer to their next heartbeat asks for the cancel.
    pub requested: Vec<String>,
    /// Tasks that were closed as canceled at once: tasks of SWF that no worker had yet, and all tasks of
    /// Step Functions, whose executions are stopped.
    pub canceled: Vec<String>,
    /// Tasks that were closed before. A task of Step Functions counts here when its execution had ended.
    pub closed: Vec<String>,
    /// Ids that the simulator does not know.
    pub unknown: Vec<String>,
}
