//! How the state machine names its tasks, polls, task lists and executions.

/// A task's place in the order of scheduling. It is never used twice, also not after a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskNo(pub(crate) u64);

/// A held poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PollNo(pub(super) u64);

/// A task list, by its place among the task lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueNo(pub(super) usize);

/// A workflow execution, by its place among the executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExecutionNo(pub(crate) usize);

/// The ids of a workflow execution. For Step Functions, the execution's name and ARN.
#[derive(Debug)]
pub(crate) struct ExecutionIds {
    pub(crate) workflow_id: String,
    pub(crate) run_id: String,
}

impl ExecutionIds {
    /// The run id ends with the execution's place among the executions, by which it is found again.
    pub(super) fn new(workflow_id: String, no: ExecutionNo) -> Self {
        let place = no.0;
        let run_id = format!("22{:020x}{place:016x}=", rand::random::<u64>());
        Self {
            workflow_id,
            run_id,
        }
    }

    /// The execution that a run id names.
    pub(super) fn number_in(run_id: &str) -> Option<ExecutionNo> {
        let place = usize::from_str_radix(run_id.get(22..38)?, 16).ok()?;
        Some(ExecutionNo(place))
    }
}
