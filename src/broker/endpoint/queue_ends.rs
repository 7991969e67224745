//! How workers' own queues end.

use super::{
    custody_terms::ConnectionId,
    exchange::{Name, Target},
    queue_state::QueueKind,
    state::State,
};
use amq_protocol::protocol::{AMQPClass, basic};
use std::sync::Arc;

impl State {
    /// Deletes a worker's queue, and tells its consumers.
    pub(super) fn remove_queue(&mut self, name: &Name) {
        let Some(queue) = self.queues.remove(name) else {
            return;
        };
        if let QueueKind::Own(own) = &queue.kind
            && let Some(maker) = self.connections.get_mut(&own.maker)
        {
            maker.own_queues -= 1;
        }
        self.exchanges.unbind_all(&Target::Queue(Arc::clone(name)));
        for id in queue.consumers {
            let Some(consumer) = self.consumers.remove(&id) else {
                continue;
            };
            let Ok(channel) = self.channel(consumer.connection, consumer.channel) else {
                continue;
            };
            channel.consumers.remove(&consumer.tag);
            let wants = self.connections.get(&consumer.connection);
            if wants.is_some_and(|connection| connection.wants_cancels) {
                let cancel = basic::AMQPMethod::Cancel(basic::Cancel {
                    consumer_tag: (&*consumer.tag).into(),
                    nowait: true,
                });
                self.send(
                    consumer.connection,
                    consumer.channel,
                    &AMQPClass::Basic(cancel),
                );
            }
        }
    }

    /// Deletes the queues of a connection that ended: the exclusive ones, and those that nobody else consumes.
    pub(super) fn delete_queues_of(&mut self, connection: ConnectionId) {
        let of_connection = self.queues.iter().filter(|(_, queue)| match &queue.kind {
            QueueKind::Own(own) => {
                own.maker == connection && (own.is_exclusive || queue.consumers.is_empty())
            }
            QueueKind::Tasks(_) | QueueKind::Parked => false,
        });
        let names: Vec<Name> = of_connection.map(|(name, _)| Arc::clone(name)).collect();
        for name in names {
            self.remove_queue(&name);
        }
    }
}
