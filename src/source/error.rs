//! Why a call to AWS came to nothing, and what to do about it.

use super::rate_limit::Answer;
use crate::metrics::Fault;

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

    /// What it is counted as.
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
