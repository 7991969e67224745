//! Where tasks come from: the seam between the bridge and an AWS service.
//!
//! Nothing outside this folder knows which service a task came from. What differs between services (limits,
//! whether a cancel exists, which faults mean what) is answered by a method of [`Source`].

pub mod aws;
pub mod step_functions;
pub mod swf;

use crate::{
    budget::{self, Budget},
    config::{RouteConfig, SourceConfig},
    task::{HeaderValue, Outcome, Task, TaskToken, Timeouts},
};
use async_trait::async_trait;
use aws_config::SdkConfig;
use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::Duration,
};
use step_functions::{SfnClients, SfnOptions, StepFunctions};
use swf::{Swf, SwfClients, SwfOptions};

/// A service that hands out activity tasks.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The label for metrics and headers: `swf`, `step-functions`.
    fn kind(&self) -> &'static str;

    /// The headers that all its tasks share.
    fn headers(&self) -> Vec<(&'static str, HeaderValue)>;

    /// The budget of the calls below, shared by all routes of this kind. The callers take their turns from it.
    fn budget(&self) -> &Budget;

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

/// Why a call to the service came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Too many calls in a second.
    #[error("throttled: {0}")]
    Throttled(String),
    /// Too much of something other than calls: open polls, or what AWS itself asks of another service for us.
    #[error("throttled: {0}")]
    TooMany(String),
    /// The service could not be reached, did not answer in time, or failed.
    #[error("not available: {0}")]
    Unavailable(String),
    /// The service will not have us: no such domain, not permitted, bad credentials. A person must mend it.
    #[error("refused: {0}")]
    Refused(String),
    /// The service found the request itself wrong. The same request will never be right.
    #[error("not valid: {0}")]
    Invalid(String),
    /// The token is dead: the task is settled, timed out, or its workflow is closed.
    #[error("gone: {0}")]
    Gone(String),
}

/// What a call's answer says about the rate of calls.
impl<T> From<&Result<T, SourceError>> for budget::Answer {
    fn from(answer: &Result<T, SourceError>) -> Self {
        match answer {
            Err(SourceError::Throttled(_)) => Self::Throttled,
            Err(
                SourceError::TooMany(_) | SourceError::Unavailable(_) | SourceError::Refused(_),
            ) => Self::Other,
            Ok(_) | Err(SourceError::Invalid(_) | SourceError::Gone(_)) => Self::Accepted,
        }
    }
}

/// What to do about a [`SourceError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again, with back-off.
    Retry,
    /// Try again, slowly: it takes a person to mend it.
    RetrySlowly,
    /// Never send this again as it is.
    Reject,
    /// There is nothing left to send.
    Gone,
}

impl SourceError {
    /// What to do about it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Throttled(_) | Self::TooMany(_) | Self::Unavailable(_) => Verdict::Retry,
            Self::Refused(_) => Verdict::RetrySlowly,
            Self::Invalid(_) => Verdict::Reject,
            Self::Gone(_) => Verdict::Gone,
        }
    }

    /// The label for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Throttled(_) | Self::TooMany(_) => "throttled",
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
            Self::Invalid(_) => "invalid",
            Self::Gone(_) => "gone",
        }
    }
}

/// Cuts a text to `limit` characters, the last of which say that it was cut and how long it was.
#[must_use]
pub fn cut(text: String, limit: usize) -> String {
    // As many bytes as the limit has characters can't be more characters than that.
    if text.len() <= limit {
        return text;
    }
    let length = text.chars().count();
    if length <= limit {
        return text;
    }
    let mark = format!("… [cut, was {length} characters]");
    let kept = limit.saturating_sub(mark.chars().count());
    let mut short: String = text.chars().take(kept).collect();
    short.extend(mark.chars().take(limit - kept));
    short
}

/// Neither the configuration nor the AWS chain names a region.
#[derive(Debug, thiserror::Error)]
#[error("no AWS region is known: set aws.region, or AWS_REGION")]
pub struct NoRegion;

/// What the sources of all routes share. The clients of a service are made for the first route that needs them.
pub struct Sources {
    sdk: SdkConfig,
    swf: OnceLock<SwfClients>,
    step_functions: OnceLock<SfnClients>,
    host: String,
}

impl Sources {
    /// Loads the AWS configuration. Credentials are first asked for with the first call.
    ///
    /// # Errors
    ///
    /// Where no region is known, without which there is no endpoint.
    pub async fn load(region: Option<&str>) -> Result<Self, NoRegion> {
        let sdk = aws::load(region).await;
        if sdk.region().is_none_or(|region| region.as_ref().is_empty()) {
            return Err(NoRegion);
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Self {
            sdk,
            swf: OnceLock::new(),
            step_functions: OnceLock::new(),
            host: host.trim().to_owned(),
        })
    }

    /// The source of one route.
    #[must_use]
    pub fn for_route(&self, route: &RouteConfig) -> Arc<dyn Source> {
        let timeouts = Timeouts {
            heartbeat: route.heartbeat.timeout.into(),
            start_to_close: route.start_to_close.into(),
        };
        let pid = std::process::id();
        match &route.source {
            SourceConfig::Swf { domain, task_list } => {
                let clients = self.swf.get_or_init(|| SwfClients::new(&self.sdk));
                let options = SwfOptions {
                    domain,
                    task_list,
                    identity: format!("activity-bridge {}@{}:{pid}", route.name, self.host),
                    timeouts,
                    discover: route.heartbeat.discover,
                };
                Arc::new(Swf::new(clients, options))
            }
            SourceConfig::StepFunctions {
                activity_arn,
                result_as,
            } => {
                let clients = self
                    .step_functions
                    .get_or_init(|| SfnClients::new(&self.sdk));
                let options = SfnOptions {
                    activity_arn,
                    worker_name: step_functions::worker_name(&route.name, &self.host, pid),
                    timeouts,
                    result_as: *result_as,
                };
                Arc::new(StepFunctions::new(clients, options))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cut_text_fits_and_an_uncut_one_is_untouched(text in ".{0,200}", limit in 1_usize..120) {
            let short = cut(text.clone(), limit);
            prop_assert!(short.chars().count() <= limit);
            let fits = text.chars().count() <= limit;
            prop_assert_eq!(short == text, fits);
        }
    }

    #[test]
    fn a_cut_text_says_how_long_it_was() {
        let short = cut("é".repeat(300), 256);
        assert_eq!(short.chars().count(), 256);
        assert!(short.ends_with("… [cut, was 300 characters]"), "{short}");
    }
}
