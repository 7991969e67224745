//! Consumers: `basic.consume`, `basic.cancel`, `basic.qos`, `basic.get`.

use super::{
    custody_terms::{AckMode, ConnectionId, ConsumerId, Recipient},
    deliver::LOOK_AHEAD,
    direct_reply::DIRECT_REPLY_TO,
    exchange::Name,
    open_connection::{Consumer, Unacked},
    queue_state::{Entry, Location, QueueKind},
    refusal::Refusal,
    state::State,
};
use amq_protocol::protocol::{AMQPClass, basic};
use std::sync::Arc;
use tokio::time::Instant;

/// Maximum number of consumers of a queue. Each delivery may look at all of them.
const MAX_QUEUE_CONSUMERS: usize = 4_096;

/// Maximum number of unacknowledged deliveries of a channel up to which it may get more by `basic.get`.
const MAX_UNACKED: usize = 65_535;

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
    fn check_no_ack(&mut self, name: &Name) -> Result<(), Refusal> {
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
    ) -> Result<(), Refusal> {
        if let Some(id) = self.channel(connection, channel)?.consumers.remove(tag) {
            self.end_consumer(id);
        }
        Ok(())
    }

    /// Ends a consumer. Its deliveries stay with its channel. A queue that was auto-delete ends with its last consumer.
    pub(super) fn end_consumer(&mut self, id: ConsumerId) {
        let Some(consumer) = self.consumers.remove(&id) else {
            return;
        };
        let Some(queue) = self.queues.get_mut(&consumer.queue) else {
            return;
        };
        queue.consumers.retain(|other| *other != id);
        queue.has_exclusive_consumer = false;
        queue.notify();
        if let QueueKind::Own(own) = &queue.kind {
            let is_left = queue.consumers.is_empty()
                && (own.is_auto_delete || !self.connections.contains_key(&own.maker));
            if is_left {
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

    /// `basic.get`. True if there was a message.
    pub(super) fn get(
        &mut self,
        at: (ConnectionId, u16),
        get: &basic::Get,
        now: Instant,
    ) -> Result<bool, Refusal> {
        let (connection, channel) = at;
        let name = self.named_queue(at, get.queue.as_str())?;
        if get.no_ack {
            self.check_no_ack(&name)?;
        }
        self.check_unacked(at)?;
        let delivers = self.delivers;
        let custody = &self.custody;
        let Some(queue) = self.queues.get_mut(&name) else {
            return Ok(false);
        };
        if !delivers && matches!(queue.kind, QueueKind::Tasks(_)) {
            return Ok(false);
        }
        queue.drop_expired(now);
        let may = |entry: &Entry| {
            entry
                .task
                .is_none_or(|task| custody.may_deliver(task, None, now))
        };
        let Some((position, mut entry)) = queue.waiting.take_first(LOOK_AHEAD, may) else {
            return Ok(false);
        };
        if !self.fits(connection, &entry) {
            let to = Recipient {
                connection,
                consumer: None,
                no_ack: false,
            };
            self.drop_unfit(&name, entry, to, now);
            return Ok(false);
        }
        let Some(queue) = self.queues.get_mut(&name) else {
            return Ok(false);
        };
        let left = u32::try_from(queue.waiting.len()).unwrap_or(u32::MAX);
        queue.notify();
        let open = self.channel(connection, channel)?;
        open.last_tag += 1;
        let tag = open.last_tag;
        let mut delivery = None;
        if let Some(task) = entry.task {
            let to = Recipient {
                connection,
                consumer: None,
                no_ack: get.no_ack,
            };
            delivery = self.hand_out(task, &mut entry, to, now);
            if !get.no_ack {
                let location = Location::Out(connection, channel, tag);
                self.locations.insert(task, location);
            }
        }
        let answer = basic::AMQPMethod::GetOk(basic::GetOk {
            delivery_tag: tag,
            redelivered: entry.redelivered,
            exchange: (&*entry.message.exchange).into(),
            routing_key: (&*entry.message.routing_key).into(),
            message_count: left,
        });
        self.send_content(connection, channel, answer, &entry);
        if !get.no_ack {
            self.count_unacked(connection, &entry);
            let unacked = Unacked {
                consumer: None,
                queue: name,
                position,
                delivery,
                since: now,
                entry: Some(entry),
            };
            self.channel(connection, channel)?
                .unacked
                .insert(tag, unacked);
        }
        Ok(true)
    }

    /// Refuses a `basic.get` of a client that acknowledges nothing.
    fn check_unacked(&mut self, (connection, channel): (ConnectionId, u16)) -> Result<(), Refusal> {
        let count = self.channel(connection, channel)?.unacked.len();
        let bytes = self.connections.get(&connection);
        let bytes = bytes.map_or(0, |connection| connection.unacked_bytes);
        if count >= MAX_UNACKED || bytes > self.limits.queue_bytes {
            return Err(Refusal::channel(
                506,
                "too many unacknowledged deliveries; acknowledge them",
            ));
        }
        Ok(())
    }

    /// Answers `basic.get` for an empty queue.
    pub(super) fn send_empty(&self, connection: ConnectionId, channel: u16) {
        let empty = basic::AMQPMethod::GetEmpty(basic::GetEmpty {});
        self.send(connection, channel, &AMQPClass::Basic(empty));
    }
}
