//! The errors of the broker seam: why a call to the broker failed.

use crate::metrics::PublishOutcome;

/// Why a message was not published. Each attempt may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection to the broker.
    #[error("the broker is away")]
    Away,
    /// No queue takes the message.
    #[error("unroutable: {0}")]
    Unroutable(String),
    /// The broker can't take the message now. The text is the broker's.
    #[error("the broker refused it {0}")]
    Nacked(&'static str),
    /// The broker refuses the message: there is no permission to write, or there is no such exchange.
    #[error("the broker refuses it: {0}")]
    Refused(String),
    /// The connection ended, or the confirm did not come in time. The broker may have the message.
    #[error("not confirmed: {0}")]
    Unconfirmed(String),
}

impl PublishError {
    /// The label under which the metrics count this error.
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

/// Why a message was not parked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParkError {
    /// The broker does not have the message, or it is not known whether it has. Another attempt may succeed.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The broker takes no more such messages until a person makes room, for this reason.
    #[error("{0}")]
    NoRoom(String),
}

/// Why a destination can't take tasks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadinessError {
    /// The broker could not be asked.
    #[error("the broker could not be asked: {0}")]
    Away(String),
    /// A person must do something. The text says what.
    #[error("{0}")]
    Unusable(String),
}
