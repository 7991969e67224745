//! Consumers: `basic.consume`, `basic.cancel`, `basic.qos`.

use super::{
    custody_terms::{AckMode, ConnectionId, ConsumerId},
    direct_reply::DIRECT_REPLY_TO,
    exchange::Name,
    open_connection::Consumer,
    queue_state::QueueKind,
    refusal::Refusal,
    state::State,
};
use amq_protocol::protocol::basic;
use std::{collections::BTreeSet, sync::Arc};
use tokio::time::Instant;

/// Maximum number of consumers of a queue. Each delivery may look at all of them.
const MAX_QUEUE_CONSUMERS: usize = 4_096;

impl State {
    /// `basic.consume`. Returns the tag. The caller answers, and then calls [`State::dispatch`] for the queue.
    pub(super) fn consume(
        &mut self,
        at: (ConnectionId, u16),
        consume: &basic::Consume,
        now: Instant,
    ) -> Result<(Arc<str>, Name), Refusal> {
        let (connection, channel) = at;
        let tag: Arc<str> = match consume.consumer_tag.as_str() {
            "" => self.generated_name("amq.ctag", '-'),
            tag => tag.into(),
        };
        if self
            .channel(connection, channel)?
            .consumers
            .contains_key(&tag)
        {
            let text = format_args!("attempt to reuse consumer tag '{tag}'");
            return Err(Refusal::connection(530, text));
        }
        let most = self.limits.consumers;
        let count = self.connections.get(&connection).map_or(0, |connection| {
            connection
                .channels
                .values()
                .map(|channel| channel.consumers.len())
                .sum()
        });
        if count >= most {
            return Err(Refusal::channel(
                506,
                format_args!("more than {most} consumers of one connection"),
            ));
        }
        let queue = match consume.queue.as_str() {
            DIRECT_REPLY_TO => self.direct_reply_queue(at, consume.no_ack, now)?,
            name => self.named_queue(at, name)?,
        };
        let id = self.new_id();
        let default_prefetch = self.limits.default_prefetch;
        let prefetch = self.channel(connection, channel)?.prefetch;
        let Some(state) = self.queues.get(&queue) else {
            return Err(Refusal::not_found("queue", &queue));
        };
        if state.has_exclusive_consumer || (consume.exclusive && !state.consumers.is_empty()) {
            return Err(Refusal::access(format_args!(
                "queue '{queue}' in vhost '/' in exclusive use"
            )));
        }
        if state.consumers.len() >= MAX_QUEUE_CONSUMERS {
            return Err(Refusal::channel(
                506,
                format_args!("more than {MAX_QUEUE_CONSUMERS} consumers of queue '{queue}'"),
            ));
        }
        let prefetch = match (&state.kind, prefetch) {
            (_, 1..) => Some(prefetch),
            (QueueKind::Tasks(_), 0) => Some(default_prefetch),
            (QueueKind::Own(_) | QueueKind::Parked, 0) => None,
        };
        if consume.no_ack {
            self.check_no_ack(&queue)?;
        }
        if let Some(state) = self.queues.get_mut(&queue) {
            state.has_exclusive_consumer = consume.exclusive;
            state.consumers.push_back(id);
        }
        let consumer = Consumer {
            connection,
            channel,
            tag: Arc::clone(&tag),
            queue: Arc::clone(&queue),
            no_ack: consume.no_ack,
            prefetch: prefetch.filter(|_| !consume.no_ack),
            unacked: 0,
        };
        self.consumers.insert(id, consumer);
        self.channel(connection, channel)?
            .consumers
            .insert(Arc::clone(&tag), id);
        Ok((tag, queue))
    }

    /// Refuses deliveries without acknowledgement where an acknowledgement completes the task.
    pub(super) fn check_no_ack(&mut self, name: &Name) -> Result<(), Refusal> {
        let Some(queue) = self.queues.get(name) else {
            return Ok(());
        };
        let QueueKind::Tasks(terms) = &queue.kind else {
            return Ok(());
        };
        match self.custody.ack_mode(terms) {
            AckMode::Releases => Ok(()),
            AckMode::Completes { .. } => Err(Refusal::access(format_args!(
                "queue '{name}' needs acknowledgements, which complete its tasks; consume with noAck: false, or set ack = \"releases\" for the route"
            ))),
        }
    }

    /// `basic.cancel`. An unknown tag is no error.
    pub(super) fn cancel(
        &mut self,
        connection: ConnectionId,
        channel: u16,
        tag: &str,
        now: Instant,
    ) -> Result<(), Refusal> {
        if let Some(id) = self.channel(connection, channel)?.consumers.remove(tag) {
            self.end_consumers(&[id], now);
        }
        Ok(())
    }

    /// Ends consumers, and delivers what waits to those that are left.
    pub(super) fn end_consumers(&mut self, ids: &[ConsumerId], now: Instant) {
        let consumers = ids.iter().filter_map(|id| self.consumers.get(id));
        let queues: BTreeSet<Name> = consumers.map(|one| Arc::clone(&one.queue)).collect();
        for id in ids {
            self.end_consumer(*id, now);
        }
        for queue in queues {
            self.dispatch(&queue, now);
        }
    }

    /// Ends a consumer. Its deliveries stay with its channel. A queue that was auto-delete ends with its last consumer.
    fn end_consumer(&mut self, id: ConsumerId, now: Instant) {
        let Some(consumer) = self.consumers.remove(&id) else {
            return;
        };
        let Some(queue) = self.queues.get_mut(&consumer.queue) else {
            return;
        };
        queue.consumers.retain(|other| *other != id);
        queue.has_exclusive_consumer = false;
        queue.notify();
        if let QueueKind::Own(own) = &mut queue.kind {
            own.last_use = now;
            if own.is_auto_delete && queue.consumers.is_empty() {
                self.remove_queue(&consumer.queue);
            }
        }
    }

    /// `basic.qos`.
    pub(super) fn set_qos(
        &mut self,
        at: (ConnectionId, u16),
        qos: &basic::Qos,
        now: Instant,
    ) -> Result<(), Refusal> {
        let channel = self.channel(at.0, at.1)?;
        match qos.global {
            true => channel.global_prefetch = u32::from(qos.prefetch_count),
            false => channel.prefetch = u32::from(qos.prefetch_count),
        }
        self.dispatch_for(at.0, now);
        Ok(())
    }
}
