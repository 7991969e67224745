//! The names of the actions that are simulated.

/// An action of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SwfAction {
    PollForActivityTask,
    RespondActivityTaskCompleted,
    RecordActivityTaskHeartbeat,
    RespondActivityTaskFailed,
    RespondActivityTaskCanceled,
    CountPendingActivityTasks,
    GetWorkflowExecutionHistory,
    DescribeActivityType,
}

impl SwfAction {
    /// All actions, the frequent ones first.
    pub(super) const ALL: &'static [Self] = &[
        Self::PollForActivityTask,
        Self::RespondActivityTaskCompleted,
        Self::RecordActivityTaskHeartbeat,
        Self::RespondActivityTaskFailed,
        Self::RespondActivityTaskCanceled,
        Self::CountPendingActivityTasks,
        Self::GetWorkflowExecutionHistory,
        Self::DescribeActivityType,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PollForActivityTask => "PollForActivityTask",
            Self::RespondActivityTaskCompleted => "RespondActivityTaskCompleted",
            Self::RecordActivityTaskHeartbeat => "RecordActivityTaskHeartbeat",
            Self::RespondActivityTaskFailed => "RespondActivityTaskFailed",
            Self::RespondActivityTaskCanceled => "RespondActivityTaskCanceled",
            Self::CountPendingActivityTasks => "CountPendingActivityTasks",
            Self::GetWorkflowExecutionHistory => "GetWorkflowExecutionHistory",
            Self::DescribeActivityType => "DescribeActivityType",
        }
    }
}
