//! The actions as `wire` calls them.

use std::sync::Arc;

use crate::{
    calls::CallScope,
    hub::Hub,
    swf::{
        action::SwfAction,
        execute::{execute, task_body},
        request::Request,
    },
    wire::{Action, Begun, Fault, token::Issuer},
    world::Handout,
};

impl Action for SwfAction {
    const PREFIX: &'static str = "SimpleWorkflowService.";
    const ALL: &'static [Self] = SwfAction::ALL;
    const ISSUER: Issuer = Issuer::Swf;
    /// All members that the service's model marks as required.
    const EMPTY_POLL: &'static [u8] = br#"{"taskToken":"","activityId":"","startedEventId":0}"#;
    type Request = Request;

    fn name(self) -> &'static str {
        SwfAction::name(self)
    }

    fn parse(self, body: &[u8]) -> Result<Request, Fault> {
        Request::parse(self, body)
    }

    fn scope(request: &Request) -> CallScope<'_> {
        request.scope()
    }

    fn token(request: &Request) -> Option<&str> {
        match request {
            Request::Token(call) => call.task_token.as_deref(),
            Request::DescribeActivityType(_)
            | Request::Count(_)
            | Request::History(_)
            | Request::Poll(_) => None,
        }
    }

    fn execute(self, hub: &Arc<Hub>, request: Request, by: Option<String>) -> Result<Begun, Fault> {
        execute(hub, self, request, by)
    }

    fn task_body(nonce: u64, handout: &Handout) -> Vec<u8> {
        task_body(nonce, handout)
    }
}
