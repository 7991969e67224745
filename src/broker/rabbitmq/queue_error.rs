//! What RabbitMQ tells of a queue or an exchange, and why one can't be used.

use crate::broker::ReadinessError;

/// What RabbitMQ tells of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueFacts {
    /// Messages that wait for a consumer.
    pub(super) ready: u64,
    /// Consumers.
    pub(super) consumers: u64,
}

/// Why a queue, or an exchange, can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueueError {
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

impl From<QueueError> for ReadinessError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Away(why) => Self::Away(why),
            QueueError::Missing(_)
            | QueueError::NoExchange(_)
            | QueueError::Conflict { .. }
            | QueueError::Forbidden(_) => Self::Unusable(error.to_string()),
        }
    }
}
