//! The actions as `wire` calls them.

use std::sync::Arc;

use crate::{
    calls::CallScope,
    hub::Hub,
    model::STATES,
    sfn::{
        action::SfnAction,
        execute::{execute, task_body},
        request::Request,
    },
    wire::{Action, Begun, Fault, read, token::Issuer},
    world::Handout,
};

impl Action for SfnAction {
    const PREFIX: &'static str = "AWSStepFunctions.";
    const ALL: &'static [Self] = SfnAction::ALL;
    const ISSUER: Issuer = Issuer::StepFunctions;
    const EMPTY_POLL: &'static [u8] = b"{}";
    type Request = Request;

    fn name(self) -> &'static str {
        SfnAction::name(self)
    }

    /// Reads the members of all actions. Each action uses only its own.
    fn parse(self, body: &[u8]) -> Result<Request, Fault> {
        read(body)
    }

    fn scope(request: &Request) -> CallScope<'_> {
        CallScope {
            domain: Some(STATES),
            task_list: request.activity_arn.as_deref(),
        }
    }

    fn token(request: &Request) -> Option<&str> {
        request.task_token.as_deref()
    }

    fn execute(self, hub: &Arc<Hub>, request: Request, by: Option<String>) -> Result<Begun, Fault> {
        execute(hub, self, request, by)
    }

    fn task_body(nonce: u64, handout: &Handout) -> Vec<u8> {
        task_body(nonce, handout)
    }
}
