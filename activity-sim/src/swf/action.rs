//! The actions that are simulated.

use std::sync::Arc;

use crate::{
    faults::About,
    hub::Hub,
    swf::{execute, request::Request},
    wire::{Action, Begun, Fault, token::Issuer},
    world::Handout,
};

/// One action of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SwfAction {
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

impl Action for SwfAction {
    const PREFIX: &'static str = "SimpleWorkflowService.";
    const ALL: &'static [Self] = &[
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
    const ISSUER: Issuer = Issuer::Swf;
    /// All members that the service's model says are always there.
    const EMPTY_POLL: &'static [u8] = br#"{"taskToken":"","activityId":"","startedEventId":0}"#;
    type Request = Request;

    fn name(self) -> &'static str {
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

    fn parse(self, body: &[u8]) -> Result<Request, Fault> {
        Request::parse(self, body)
    }

    fn about(request: &Request) -> About<'_> {
        request.about()
    }

    fn token(request: &Request) -> Option<&str> {
        match request {
            Request::Token(call) => call.task_token.as_deref(),
            Request::RegisterDomain(_)
            | Request::DescribeDomain(_)
            | Request::ListDomains(_)
            | Request::RegisterActivityType(_)
            | Request::DescribeActivityType(_)
            | Request::Count(_)
            | Request::History(_)
            | Request::Poll(_) => None,
        }
    }

    fn execute(self, hub: &Arc<Hub>, request: Request, by: Option<String>) -> Result<Begun, Fault> {
        execute::execute(hub, self, request, by)
    }

    fn task_body(nonce: u64, handout: &Handout) -> Vec<u8> {
        execute::task_body(nonce, handout)
    }
}
