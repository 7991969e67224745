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
    /// The broker refused it: the queue is full, or its leader is gone.
    #[error("the broker refused it (basic.nack): the queue is full or can't be written")]
    Nacked,
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
            Self::Nacked => PublishOutcome::Nacked,
            Self::Refused(_) => PublishOutcome::Refused,
            Self::Unconfirmed(_) => PublishOutcome::Unconfirmed,
        }
    }
}

/// Why a queue, or an exchange, can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The broker could not be asked.
    #[error("the broker could not be asked: {0}")]
    Away(String),
    /// It isn't there, and the route says not to declare it.
    #[error("the queue {0:?} does not exist; create it, or remove `declare = false`")]
    Missing(String),
    /// The exchange isn't there. Only its owner knows of what type it should be.
    #[error(
        "the exchange {0:?} does not exist; create it: the bridge declares no exchange but its own"
    )]
    NoExchange(String),
    /// It is there with other arguments.
    #[error(
        "the queue {queue:?} exists with other arguments ({difference}); delete it, or set `declare = false` to use \
         it as it is"
    )]
    Conflict {
        /// The queue.
        queue: String,
        /// Which argument differs, in the broker's words.
        difference: String,
    },
    /// The user may not.
    #[error("the broker refuses access: {0}")]
    Forbidden(String),
}
