//! A queue that a worker has declared for itself: who may use it, what it was declared with, and when it ends.

use super::{
    custody_terms::ConnectionId,
    queue_arguments::{QueueArguments, inequivalent},
    refusal::Refusal,
};
use amq_protocol::protocol::queue;
use std::time::Duration;
use tokio::time::Instant;

/// A worker's own queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnQueue {
    /// The connection that declared it. An exclusive queue ends with it.
    pub(super) maker: ConnectionId,
    pub(super) is_exclusive: bool,
    pub(super) is_auto_delete: bool,
    pub(super) is_durable: bool,
    /// Whether it is auto-delete, never had a consumer, and its connection has ended.
    pub(super) is_left: bool,
    pub(super) arguments: QueueArguments,
    /// When somebody last used it. A consumer uses it as long as it consumes.
    pub(super) last_use: Instant,
    /// When the state looks next whether it was used.
    pub(super) next_check: Option<Instant>,
}

impl OwnQueue {
    /// The queue that this method declares.
    pub(super) fn declared(
        maker: ConnectionId,
        declare: &queue::Declare,
        now: Instant,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            is_exclusive: declare.exclusive,
            is_auto_delete: declare.auto_delete,
            is_durable: declare.durable,
            arguments: QueueArguments::parse(declare.queue.as_str(), &declare.arguments)?,
            ..Self::of_direct_replies(maker, now)
        })
    }

    /// The queue of a channel's direct replies.
    pub(super) fn of_direct_replies(maker: ConnectionId, now: Instant) -> Self {
        Self {
            maker,
            is_exclusive: true,
            is_auto_delete: true,
            is_durable: false,
            is_left: false,
            arguments: QueueArguments::default(),
            last_use: now,
            next_check: None,
        }
    }

    /// Whether the queue outlives the connection that declared it. An auto-delete queue waits for its first consumer.
    pub(super) fn is_kept(&self) -> bool {
        !self.is_exclusive && (!self.is_auto_delete || self.is_left)
    }

    /// Time without use after which the queue ends; `None` for a queue that only ends with its connection or consumer.
    /// `unused` is that time for a queue whose connection has ended.
    pub(super) fn ends_after(&self, has_maker: bool, unused: Duration) -> Option<Duration> {
        let unused = Some(unused).filter(|_| self.is_kept() && !has_maker);
        [self.arguments.expires, unused].into_iter().flatten().min()
    }

    pub(super) fn check_access(&self, connection: ConnectionId, name: &str) -> Result<(), Refusal> {
        match self.is_exclusive && self.maker != connection {
            true => Err(Self::locked(name)),
            false => Ok(()),
        }
    }

    /// Refuses a second declaration that differs from the first.
    pub(super) fn check_same(&self, name: &str, declare: &queue::Declare) -> Result<(), Refusal> {
        if declare.exclusive != self.is_exclusive {
            return Err(Self::locked(name));
        }
        for (what, received, current) in [
            ("durable", declare.durable, self.is_durable),
            ("auto_delete", declare.auto_delete, self.is_auto_delete),
        ] {
            if received != current {
                let (received, current) = (format!("'{received}'"), format!("'{current}'"));
                return Err(inequivalent(name, what, received, current));
            }
        }
        let received = QueueArguments::parse(name, &declare.arguments)?;
        self.arguments.check_same(name, &received)
    }

    fn locked(name: &str) -> Refusal {
        Refusal::channel(
            405,
            format_args!("cannot obtain exclusive access to locked queue '{name}' in vhost '/'"),
        )
    }
}
