//! The actions that are simulated.

use std::sync::Arc;

use crate::{
    faults::About,
    hub::Hub,
    model::STATES,
    sfn::{execute, request::Request},
    wire::{Action, Begun, Fault, read, token::Issuer},
    world::Handout,
};

/// One action of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SfnAction {
    CreateActivity,
    DescribeActivity,
    ListActivities,
    GetActivityTask,
    SendTaskHeartbeat,
    SendTaskSuccess,
    SendTaskFailure,
    DescribeExecution,
    StopExecution,
}

impl Action for SfnAction {
    const PREFIX: &'static str = "AWSStepFunctions.";
    const ALL: &'static [Self] = &[
        Self::GetActivityTask,
        Self::SendTaskSuccess,
        Self::SendTaskHeartbeat,
        Self::SendTaskFailure,
        Self::DescribeActivity,
        Self::CreateActivity,
        Self::ListActivities,
        Self::DescribeExecution,
        Self::StopExecution,
    ];
    const ISSUER: Issuer = Issuer::StepFunctions;
    const EMPTY_POLL: &'static [u8] = b"{}";
    type Request = Request;

    fn name(self) -> &'static str {
        match self {
            Self::CreateActivity => "CreateActivity",
            Self::DescribeActivity => "DescribeActivity",
            Self::ListActivities => "ListActivities",
            Self::GetActivityTask => "GetActivityTask",
            Self::SendTaskHeartbeat => "SendTaskHeartbeat",
            Self::SendTaskSuccess => "SendTaskSuccess",
            Self::SendTaskFailure => "SendTaskFailure",
            Self::DescribeExecution => "DescribeExecution",
            Self::StopExecution => "StopExecution",
        }
    }

    /// All members of all actions are read; each action uses those it knows.
    fn parse(self, body: &[u8]) -> Result<Request, Fault> {
        read(body)
    }

    fn about(request: &Request) -> About<'_> {
        About {
            domain: Some(STATES),
            task_list: request.activity_arn.as_deref(),
        }
    }

    fn token(request: &Request) -> Option<&str> {
        request.task_token.as_deref()
    }

    fn execute(self, hub: &Arc<Hub>, request: Request, by: Option<String>) -> Result<Begun, Fault> {
        execute::execute(hub, self, request, by)
    }

    fn task_body(nonce: u64, handout: &Handout) -> Vec<u8> {
        execute::task_body(nonce, handout)
    }
}
