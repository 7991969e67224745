//! What the simulator tells about its tasks and calls.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::model::ActivityType;

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits in its task list.
    Scheduled,
    /// Was handed to a poll.
    Started,
    /// Closed by RespondActivityTaskCompleted or SendTaskSuccess.
    Completed,
    /// Closed by RespondActivityTaskFailed or SendTaskFailure.
    Failed,
    /// Closed by RespondActivityTaskCanceled, canceled before it was handed out, or its execution
    /// was stopped.
    Canceled,
    /// Closed by one of the time-outs.
    TimedOut,
}

impl TaskState {
    /// True for a task that a worker can still settle.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Scheduled | Self::Started)
    }
}

/// Which time-out closed a task, spelt as SWF's history spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TimeoutType {
    /// Nobody polled for it in time.
    ScheduleToStart,
    /// The worker took too long.
    StartToClose,
    /// Waiting and working took too long together.
    ScheduleToClose,
    /// No heartbeat for too long.
    Heartbeat,
}

/// One accepted heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatRecord {
    /// Unix milliseconds.
    pub at_ms: u64,
    /// The access key id that signed the call, which tells processes apart that were given different ones.
    pub by: Option<String>,
    /// What the worker said.
    pub details: Option<String>,
}

/// All that happened to one task. Times are Unix milliseconds.
///
/// A task of Step Functions has the domain `""`, its activity's ARN as the task list, its activity's
/// name as the type's, and its execution's name and ARN as `workflow_id` and `run_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Unique in the process.
    pub activity_id: String,
    /// The domain it was scheduled in.
    pub domain: String,
    /// The task list it waited in.
    pub task_list: String,
    /// The workflow execution's id.
    pub workflow_id: String,
    /// The workflow execution's run.
    pub run_id: String,
    /// The type it was scheduled with.
    pub activity_type: ActivityType,
    /// What it was scheduled with.
    pub input: Option<String>,
    /// Where it is now.
    pub state: TaskState,
    /// Set when the state is [`TaskState::TimedOut`].
    pub timeout_type: Option<TimeoutType>,
    /// Of RespondActivityTaskFailed, or the error of SendTaskFailure.
    pub reason: Option<String>,
    /// Of RespondActivityTaskFailed or RespondActivityTaskCanceled, or the cause of
    /// SendTaskFailure; of a task that timed out, the details of its last heartbeat.
    pub details: Option<String>,
    /// Of RespondActivityTaskCompleted, or the output of SendTaskSuccess.
    pub result: Option<String>,
    /// When it was scheduled.
    pub scheduled_ms: u64,
    /// When it was handed to a poll.
    pub started_ms: Option<u64>,
    /// When it was closed.
    pub closed_ms: Option<u64>,
    /// The identity of the poll it was handed to.
    pub identity: Option<String>,
    /// The newest 100 accepted heartbeats, oldest first.
    pub heartbeats: VecDeque<HeartbeatRecord>,
    /// All accepted heartbeats.
    pub heartbeat_count: u64,
    /// Whether the next heartbeat is answered with `cancelRequested`.
    pub cancel_requested: bool,
    /// Whether it was handed to a connection that had gone, or whose answer was lost.
    pub abandoned_poll: bool,
    /// Respond and heartbeat calls that arrived after it was closed.
    pub late_calls: u64,
    /// Respond calls that reached the service for it, accepted or not.
    pub settle_calls: u64,
}

/// How an execution of Step Functions is or has ended, spelt as the service spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutionStatus {
    /// An attempt is open, or the next one is to come.
    Running,
    /// An attempt succeeded.
    Succeeded,
    /// The last attempt failed.
    Failed,
    /// The last attempt timed out.
    TimedOut,
    /// Stopped by StopExecution or a request to cancel.
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
    /// Where it is now.
    pub status: ExecutionStatus,
    /// What it was started with.
    pub input: Option<String>,
    /// Of the attempt that succeeded.
    pub output: Option<String>,
    /// Of the last attempt's failure, `States.Timeout` or `States.HeartbeatTimeout` of its
    /// time-out, or of StopExecution.
    pub error: Option<String>,
    /// The same.
    pub cause: Option<String>,
    /// The activity ids of its tasks, in order.
    pub attempts: Vec<String>,
    /// When it was started.
    pub started_ms: u64,
    /// When it ended.
    pub stopped_ms: Option<u64>,
}

/// How the calls of one action ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCount {
    /// Answered with success.
    pub ok: u64,
    /// By fault code. Calls without an answer count as `drop`, `reset`, `lost-answer` (injected)
    /// or `client-gone` (the caller hung up first).
    pub errors: BTreeMap<String, u64>,
}

/// How many calls of an action arrived in each second, throttled and failed ones included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// When the first of the seconds began, in Unix milliseconds.
    pub from_ms: u64,
    /// From the second of the first call since the last reset, at most the newest 600; the last is
    /// the current second, which is not over.
    pub per_second: Vec<u64>,
}

/// The totals, of one task list or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Tasks ever scheduled.
    pub scheduled: u64,
    /// Tasks ever handed to a poll.
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
    /// The same by time-out; those that closed no task are not in it.
    pub timed_out_by: BTreeMap<TimeoutType, u64>,
    /// Tasks not closed yet.
    pub open: u64,
    /// Tasks handed to a connection that had gone, or whose answer was lost.
    pub abandoned: u64,
    /// Respond and heartbeat calls for tasks that were closed already.
    pub late_calls: u64,
    /// From scheduled to closed, median of all closed tasks, to within 1 %; 0 while there is none.
    pub p50_ms: f64,
    /// The same, 99th percentile.
    pub p99_ms: f64,
    /// Polls held now, abandoned ones included.
    pub open_polls: u64,
    /// The most polls ever held at once.
    pub max_open_polls: u64,
    /// By action, of the whole simulator whatever the task list asked for.
    pub calls: BTreeMap<String, CallCount>,
}

impl Summary {
    /// Tasks that are closed, in whatever way.
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

/// What became of a request to cancel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelReport {
    /// Started tasks: their next heartbeat says so.
    pub requested: Vec<String>,
    /// Closed as canceled at once: tasks that no worker had yet, as SWF does, and all of
    /// executions of Step Functions, which are stopped.
    pub canceled: Vec<String>,
    /// Tasks that were closed already, and whose execution was over if of Step Functions.
    pub closed: Vec<String>,
    /// Ids the simulator does not know.
    pub unknown: Vec<String>,
}
