//! What RabbitMQ says of a queue or an exchange, and why one can't be used. The texts tell the operator what to do.

use crate::broker::ReadinessError;

/// The numbers that RabbitMQ reports for a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueFacts {
    /// Messages that wait for a consumer.
    pub(super) ready: u64,
    /// The number of consumers.
    pub(super) consumers: u64,
}

/// Why a queue, or an exchange, can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueueError {
    /// The broker could not be asked.
    #[error("the broker could not be asked: {0}")]
    Away(String),
    /// The queue does not exist, and the route says `declare = false`.
    #[error("the queue {0:?} does not exist; create it, or remove `declare = false`")]
    Missing(String),
    /// The exchange does not exist. Only its owner knows which type it should have.
    #[error(
        "the exchange {0:?} does not exist; create it: the bridge declares no exchange but its own"
    )]
    NoExchange(String),
    /// The queue exists with other arguments.
    #[error(
        "the queue {queue:?} exists with other arguments ({difference}); delete it, or set `declare = false` to use \
         it as it is"
    )]
    Conflict {
        /// The queue's name.
        queue: String,
        /// The argument that differs, in the broker's words.
        difference: String,
    },
    /// The broker refuses the queue for a reason of its own, like a limit of the vhost.
    #[error("the broker refuses the queue {queue:?}: {words}")]
    Refused {
        /// The queue's name.
        queue: String,
        /// The broker's words.
        words: String,
    },
    /// The queue was lost, and is declared once the token store has noted that.
    #[error("the queue {0:?} was lost; it is declared again once the token store has noted that")]
    Unnoted(String),
    /// The queue belongs to another connection.
    #[error(
        "the queue {0:?} is exclusive to another connection; name another queue, or declare it without `exclusive` there"
    )]
    Locked(String),
    /// The broker answers nothing about this queue.
    #[error("the broker does not answer for the queue {0:?}; has the queue lost its leader?")]
    Silent(String),
    /// The user has no permission.
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
            | QueueError::Refused { .. }
            | QueueError::Unnoted(_)
            | QueueError::Locked(_)
            | QueueError::Silent(_)
            | QueueError::Forbidden(_) => Self::Unusable(error.to_string()),
        }
    }
}
