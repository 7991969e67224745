//! A queue that a worker has declared for itself.

use super::{custody_terms::ConnectionId, refusal::Refusal};

/// A worker's own queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnQueue {
    /// The connection that declared it. The queue ends with it, unless others consume from it.
    pub(super) maker: ConnectionId,
    pub(super) is_exclusive: bool,
    pub(super) is_auto_delete: bool,
    pub(super) is_durable: bool,
}

impl OwnQueue {
    pub(super) fn check_access(&self, connection: ConnectionId, name: &str) -> Result<(), Refusal> {
        match self.is_exclusive && self.maker != connection {
            true => Err(Self::locked(name)),
            false => Ok(()),
        }
    }

    pub(super) fn locked(name: &str) -> Refusal {
        Refusal::channel(
            405,
            format_args!("cannot obtain exclusive access to locked queue '{name}' in vhost '/'"),
        )
    }
}
