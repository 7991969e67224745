//! Where tasks come from: the seam between the bridge and an AWS service.
//!
//! Nothing outside this folder knows which service a task came from. What differs between services (limits,
//! whether a cancel exists, which faults mean what) is answered by a method of [`Source`].

use super::{error::SourceError, rate_limit::RateLimiter};
use crate::task::{HeaderValue, Outcome, Task, TaskToken, Timeouts};
use async_trait::async_trait;
use std::{borrow::Cow, time::Duration};

/// A service that hands out activity tasks.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The label for metrics and headers: `swf`, `step-functions`.
    fn kind(&self) -> &'static str;

    /// The headers that all its tasks share.
    fn headers(&self) -> Vec<(&'static str, HeaderValue)>;

    /// The budget of the calls below, shared by all routes of this kind. The callers take their turns from it.
    fn rate_limiter(&self) -> &RateLimiter;

    /// The task's timeouts, as well as they are known or can be learnt. What can't be learnt soon is unknown.
    async fn timeouts(&self, task: &Task) -> Timeouts;

    /// Asks for a task, and waits up to 60 s for one.
    ///
    /// # Cancel safety
    ///
    /// **Not cancel safe**: AWS hands the next task to a poll that it believes open, and a dropped future
    /// loses it. Await it to its end.
    async fn poll(&self) -> Result<Option<Task>, SourceError>;

    /// How soon a poll must bring a task for another open poll to be of use.
    fn busy_within(&self) -> Duration;

    /// Says that the task is alive, and hears whether its cancellation is wanted.
    async fn heartbeat(
        &self,
        token: &TaskToken,
        details: &str,
    ) -> Result<CancelRequested, SourceError>;

    /// Ends the task. One attempt; `settle` tries again.
    async fn settle(&self, token: &TaskToken, outcome: &Outcome) -> Result<(), SourceError>;

    /// The result that a worker's body means. It is never cut.
    ///
    /// # Errors
    ///
    /// Why the service would not take it.
    fn result<'b>(&self, body: &'b str) -> Result<Cow<'b, str>, Unfit>;

    /// The outcome in the service's terms, with what may be cut (the words of a failure or a cancel) cut to its limits.
    fn fit(&self, outcome: Outcome) -> Outcome;

    /// Cuts what a worker says of its progress to what the service takes, so that no more of it is kept.
    fn fit_details(&self, details: &str) -> String;

    /// What it polls, for people: "task list".
    fn place(&self) -> &'static str;

    /// Looks whether service, credentials and names work, without taking a task. Says what it found.
    async fn probe(&self) -> Result<String, SourceError>;

    /// The API call that [`Source::probe`] makes. The bridge needs no permission for it otherwise.
    fn probe_action(&self) -> &'static str;
}

/// Why a body is not a result that the service takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is too long.
    TooLong(String),
    /// It is not of the form that the route asks for.
    WrongForm(String),
}

/// Whether AWS wants the task canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelRequested(pub bool);
