//! Direct replies: a client consumes a pseudo-queue, and its requests carry an address that leads to this consumer.

use super::{
    custody_terms::ConnectionId,
    exchange::Name,
    own_queue::OwnQueue,
    properties::Properties,
    queue_state::{QueueKind, QueueState},
    refusal::Refusal,
    state::State,
};
use std::sync::Arc;
use tokio::time::Instant;

/// The pseudo-queue that a client consumes for direct replies, and the address that stands for it in requests.
pub(super) const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

impl State {
    /// Makes the queue of a channel's direct replies. Nobody can guess its name.
    pub(super) fn direct_reply_queue(
        &mut self,
        (connection, channel): (ConnectionId, u16),
        no_ack: bool,
        now: Instant,
    ) -> Result<Name, Refusal> {
        if !no_ack {
            return Err(Refusal::precondition("reply consumer cannot acknowledge"));
        }
        if self.direct_reply_address(connection, channel)?.is_some() {
            return Err(Refusal::precondition("reply consumer already set"));
        }
        let name = self.generated_name(DIRECT_REPLY_TO, '.');
        let own = OwnQueue::of_direct_replies(connection, now);
        if let Some(owner) = self.connections.get_mut(&connection) {
            owner.own_queues += 1;
        }
        self.queues
            .insert(Arc::clone(&name), QueueState::new(QueueKind::Own(own), now));
        Ok(name)
    }

    /// The address of a channel's direct replies, if the channel consumes them.
    fn direct_reply_address(
        &mut self,
        connection: ConnectionId,
        channel: u16,
    ) -> Result<Option<Name>, Refusal> {
        let ids: Vec<u64> = {
            let open = self.channel(connection, channel)?;
            open.consumers.values().copied().collect()
        };
        let mut queues = ids.iter().filter_map(|id| self.consumers.get(id));
        let found = queues.find(|consumer| is_address(&consumer.queue));
        Ok(found.map(|consumer| Arc::clone(&consumer.queue)))
    }

    /// Puts the address of the channel's direct replies into a request that asks for it.
    pub(super) fn with_direct_reply(
        &mut self,
        (connection, channel): (ConnectionId, u16),
        properties: Properties,
    ) -> Result<Properties, Refusal> {
        if properties.reply_to() != Some(DIRECT_REPLY_TO.as_bytes()) {
            return Ok(properties);
        }
        let Some(address) = self.direct_reply_address(connection, channel)? else {
            return Err(Refusal::precondition(
                "fast reply consumer does not exist; consume amq.rabbitmq.reply-to on this channel first",
            ));
        };
        properties
            .with_reply_to(&address)
            .map_err(|error| Refusal::connection(502, error))
    }
}

/// Whether a queue is one of direct replies.
fn is_address(name: &str) -> bool {
    let rest = name.strip_prefix(DIRECT_REPLY_TO);
    rest.is_some_and(|rest| rest.starts_with('.'))
}
