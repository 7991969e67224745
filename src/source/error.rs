//! Why a call to AWS failed, and what the caller does next.

use super::rate_limit::Answer;
use crate::metrics::Fault;

/// Why a call to the service failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// AWS throttles the rate of calls.
    #[error("throttled: {0}")]
    Throttled(String),
    /// AWS limits something other than the rate of calls: open polls, or AWS's own calls to KMS for an activity.
    #[error("throttled: {0}")]
    TooMany(String),
    /// The service could not be reached, did not answer in time, or had an internal fault.
    #[error("not available: {0}")]
    Unavailable(String),
    /// The service refuses the call: unknown domain, missing permission, bad credentials. A person must fix it.
    #[error("refused: {0}")]
    Refused(String),
    /// The service found the request invalid. The same request will never be valid.
    #[error("not valid: {0}")]
    Invalid(String),
    /// The token is dead: the task is settled or timed out, or its workflow is closed.
    #[error("gone: {0}")]
    Gone(String),
}

/// What the result of a call says about the rate of calls.
impl<T> From<&Result<T, SourceError>> for Answer {
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

/// What to do after a [`SourceError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again with back-off.
    Retry,
    /// Try again slowly: a person must fix the cause.
    RetrySlowly,
    /// Do not send this request again.
    Reject,
    /// Nothing is left to send, because the task has ended.
    Gone,
}

impl SourceError {
    /// What to do after this error.
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
    pub fn fault(&self) -> Fault {
        match self {
            Self::Throttled(_) | Self::TooMany(_) => Fault::Throttled,
            Self::Unavailable(_) => Fault::Unavailable,
            Self::Refused(_) => Fault::Refused,
            Self::Invalid(_) => Fault::Invalid,
            Self::Gone(_) => Fault::Gone,
        }
    }
}
