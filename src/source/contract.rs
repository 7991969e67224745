//! The trait [`Source`]: what the bridge wants of an AWS service that hands out activity tasks.

use super::{error::SourceError, rate_limit::RateLimiter};
use crate::task::{HeaderValue, Outcome, SourceKind, Task, TaskToken, Timeouts};
use async_trait::async_trait;
use std::{borrow::Cow, time::Duration};

/// A service that hands out activity tasks.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Which service it is. Its label is in metrics and headers.
    fn kind(&self) -> SourceKind;

    /// The headers that all tasks of this source share.
    fn headers(&self) -> Vec<(&'static str, HeaderValue)>;

    /// The rate limiter of the calls below. All routes of this kind share it. The caller acquires a permit before each call.
    fn rate_limiter(&self) -> &RateLimiter;

    /// The task's timeouts, as configured or as learnt from AWS. A timeout that can't be learnt within seconds is unknown. The
    /// input of the task is not read.
    async fn timeouts(&self, task: &Task) -> Discovered;

    /// Polls for a task. AWS holds an empty poll for up to 60 s.
    ///
    /// # Cancel safety
    ///
    /// **Not cancel safe**: AWS hands the next task to a poll that it believes open. A dropped future loses that task. Await
    /// the future to its end.
    async fn poll(&self) -> Result<Option<Task>, SourceError>;

    /// Why the task of a poll is larger than any task of the service, in words; `None` if it is not. Such a task is not handed
    /// to a worker.
    fn oversize(&self, task: &Task) -> Option<String>;

    /// Maximum time of a poll that returns a task for one more open poll to be useful.
    fn busy_within(&self) -> Duration;

    /// Sends a heartbeat for the task. The answer says whether AWS requests a cancel.
    async fn heartbeat(
        &self,
        token: &TaskToken,
        details: &str,
    ) -> Result<CancelRequested, SourceError>;

    /// Sends the outcome of the task, in one attempt.
    async fn settle(&self, token: &TaskToken, outcome: &Outcome) -> Result<(), SourceError>;

    /// The result for AWS from the body of a worker's reply. A result is never cut.
    ///
    /// # Errors
    ///
    /// Why the service would refuse the result.
    fn result<'b>(&self, body: &'b str) -> Result<Cow<'b, str>, Unfit>;

    /// The outcome as the service accepts it. The texts of a failure or a cancel are cut to the service's limits.
    fn fit(&self, outcome: Outcome) -> Outcome;

    /// Cuts the details of a worker's heartbeat to the service's limit, so that no longer text is kept in memory.
    fn fit_details(&self, details: &str) -> String;

    /// The number of tasks that wait at the service for a poll; `None` if the service has no such number. Callers ask seldom:
    /// AWS allows few of these calls.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses only the answer.
    async fn pending(&self) -> Result<Option<PendingTasks>, SourceError>;

    /// What the source polls, in words for people: "task list".
    fn place(&self) -> &'static str;

    /// Checks the service, the credentials and the names, without polling a task. Returns what it found, in words.
    async fn probe(&self) -> Result<String, SourceError>;

    /// The API call that [`Source::probe`] makes. The bridge needs the permission for it only there.
    fn probe_action(&self) -> &'static str;
}

/// The timeouts of a task, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// The timeouts.
    pub timeouts: Timeouts,
    /// Whether AWS has not told everything that it can tell. A later question may find more.
    pub ask_again: bool,
}

impl Discovered {
    /// Everything that can be known.
    #[must_use]
    pub fn all(timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            ask_again: false,
        }
    }

    /// What is known without an answer of AWS that is still missing.
    #[must_use]
    pub fn incomplete(timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            ask_again: true,
        }
    }
}

/// The tasks that wait at the service for a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingTasks {
    /// Their number, as the service estimates it.
    pub count: u64,
    /// Whether there are more than the service counts.
    pub truncated: bool,
}

/// Why the body of a reply is not a result that the service accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The result is too long.
    TooLong(String),
    /// The result does not have the form that the route is configured for.
    WrongForm(String),
}

/// Whether AWS requests a cancel of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelRequested(pub bool);
