//! What a service says about its actions.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    calls::CallScope,
    conn::Hangup,
    hub::{Delivery, Hub},
    wire::{fault::Fault, json::written, token::Issuer},
    world::Handout,
};

/// The actions of a service and their effects.
pub(crate) trait Action: Copy + Send + 'static {
    /// The text before the action's name in an `X-Amz-Target` header.
    const PREFIX: &'static str;
    /// All simulated actions, the frequent ones first.
    const ALL: &'static [Self];
    /// The issuer of the task tokens that the service accepts.
    const ISSUER: Issuer;
    /// The answer to a poll that ends without a task.
    const EMPTY_POLL: &'static [u8];
    /// A request that is not validated yet.
    type Request: Send + 'static;

    fn name(self) -> &'static str;

    /// Reads the body of a call.
    fn parse(self, body: &[u8]) -> Result<Self::Request, Fault>;

    /// The domain and the task list in the request.
    fn scope(request: &Self::Request) -> CallScope<'_>;

    /// The task token in the request.
    fn token(request: &Self::Request) -> Option<&str>;

    /// Validates a request and lets it take effect.
    ///
    /// `by` is the access key id that signed the call.
    fn execute(
        self,
        hub: &Arc<Hub>,
        request: Self::Request,
        by: Option<String>,
    ) -> Result<Begun, Fault>;

    /// The answer that hands out a task.
    fn task_body(nonce: u64, handout: &Handout) -> Vec<u8>;

    /// The action of this name.
    fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|action| action.name() == name)
    }

    /// The action that an `X-Amz-Target` header names.
    fn from_target(target: &str) -> Option<Self> {
        target.strip_prefix(Self::PREFIX).and_then(Self::named)
    }
}

/// The result of a call after it has taken effect.
pub(crate) enum Begun {
    /// The body of a success.
    Reply(Vec<u8>),
    Fault(Fault),
    /// The connection ends without an answer. The call is counted under this name.
    HangUp(Hangup, &'static str),
    Task(Delivery),
    /// The poll is held. Its answer comes here.
    Waiting(oneshot::Receiver<Option<Delivery>>),
}

impl Begun {
    /// A success with this body.
    pub(crate) fn reply(body: &Value) -> Self {
        Self::Reply(written(body))
    }
}

impl From<Result<Begun, Fault>> for Begun {
    fn from(result: Result<Begun, Fault>) -> Self {
        result.unwrap_or_else(Self::Fault)
    }
}
