//! The actions that are simulated.

/// One action of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    RegisterDomain,
    DescribeDomain,
    ListDomains,
    RegisterActivityType,
    DescribeActivityType,
    CountPendingActivityTasks,
    GetWorkflowExecutionHistory,
    PollForActivityTask,
    RecordActivityTaskHeartbeat,
    RespondActivityTaskCompleted,
    RespondActivityTaskFailed,
    RespondActivityTaskCanceled,
}

const PREFIX: &str = "SimpleWorkflowService.";

impl Action {
    const ALL: [Self; 12] = [
        Self::PollForActivityTask,
        Self::RespondActivityTaskCompleted,
        Self::RecordActivityTaskHeartbeat,
        Self::RespondActivityTaskFailed,
        Self::RespondActivityTaskCanceled,
        Self::CountPendingActivityTasks,
        Self::GetWorkflowExecutionHistory,
        Self::DescribeActivityType,
        Self::RegisterActivityType,
        Self::DescribeDomain,
        Self::ListDomains,
        Self::RegisterDomain,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RegisterDomain => "RegisterDomain",
            Self::DescribeDomain => "DescribeDomain",
            Self::ListDomains => "ListDomains",
            Self::RegisterActivityType => "RegisterActivityType",
            Self::DescribeActivityType => "DescribeActivityType",
            Self::CountPendingActivityTasks => "CountPendingActivityTasks",
            Self::GetWorkflowExecutionHistory => "GetWorkflowExecutionHistory",
            Self::PollForActivityTask => "PollForActivityTask",
            Self::RecordActivityTaskHeartbeat => "RecordActivityTaskHeartbeat",
            Self::RespondActivityTaskCompleted => "RespondActivityTaskCompleted",
            Self::RespondActivityTaskFailed => "RespondActivityTaskFailed",
            Self::RespondActivityTaskCanceled => "RespondActivityTaskCanceled",
        }
    }

    /// The action that an `X-Amz-Target` header names.
    pub(crate) fn from_target(target: &str) -> Option<Self> {
        let name = target.strip_prefix(PREFIX)?;
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// Whether one of the actions has this name.
    pub(crate) fn is_known(name: &str) -> bool {
        Self::ALL.into_iter().any(|action| action.name() == name)
    }
}
