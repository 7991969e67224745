//! The receipt of a reply. It sends the publisher's confirm when the bridge is done with the reply.

use super::{custody_terms::ConnectionId, open_replies::OpenReply, switch::Switch};
use crate::broker::Acknowledge;
use async_trait::async_trait;

/// See the module. A receipt that is dropped sends no confirm.
#[derive(Debug)]
pub(crate) struct ReplyReceipt {
    pub(super) switch: Switch,
    pub(super) connection: ConnectionId,
    pub(super) channel: u16,
    /// The generation of the channel. A later channel with the same number has another.
    pub(super) generation: u64,
    /// The number of the publish; `None` if the channel is not in confirm mode.
    pub(super) sequence: Option<u64>,
    /// Counts the reply until the receipt is gone.
    pub(super) open: Option<OpenReply>,
}

impl ReplyReceipt {
    fn confirm(&self, taken: bool) {
        self.switch.with(|state| {
            let Some(connection) = state.connections.get(&self.connection) else {
                return;
            };
            let same = connection.channels.get(&self.channel);
            if same.is_some_and(|channel| channel.generation == self.generation)
                && let Some(sequence) = self.sequence
            {
                state.confirm(self.connection, self.channel, sequence, taken);
            }
        });
    }
}

#[async_trait]
impl Acknowledge for ReplyReceipt {
    /// The reply exists only here, so it can be used however its connection is.
    fn is_usable(&self) -> bool {
        true
    }

    async fn ack(&self) -> bool {
        self.confirm(true);
        true
    }

    /// There is no queue to put a reply back into. The publisher is told that nobody has it.
    async fn requeue(&self) {
        self.confirm(false);
    }
}
