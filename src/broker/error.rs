//! Why the broker did not do what it was asked.

use crate::metrics::PublishOutcome;

/// Why a message was not taken. Each may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection.
    #[error("the broker is away")]
    Away,
    /// No queue takes it.
    #[error("unroutable: {0}")]
    Unroutable(String),
    /// The broker can't take it now, in its own words.
    #[error("the broker refused it {0}")]
    Nacked(&'static str),
    /// The broker will not have it: no permission to write there, or no such exchange.
    #[error("the broker refuses it: {0}")]
    Refused(String),
    /// The connection ended, or the confirm did not come in time. The broker may have it all the same.
    #[error("not confirmed: {0}")]
    Unconfirmed(String),
}

impl PublishError {
    /// What it is counted as.
    #[must_use]
    pub fn kind(&self) -> PublishOutcome {
        match self {
            Self::Away => PublishOutcome::Away,
            Self::Unroutable(_) => PublishOutcome::Unroutable,
            Self::Nacked(_) => PublishOutcome::Nacked,
            Self::Refused(_) => PublishOutcome::Refused,
            Self::Unconfirmed(_) => PublishOutcome::Unconfirmed,
        }
    }
}

/// Why a destination can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadinessError {
    /// The broker could not be asked.
    #[error("the broker could not be asked: {0}")]
    Away(String),
    /// A person must do something, which the text says.
    #[error("{0}")]
    Unusable(String),
}
