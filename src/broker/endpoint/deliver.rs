//! Deliveries: which consumer gets which message, and what it is given.

use super::{
    content_header::{self, ContentHeader},
    custody_terms::{ConnectionId, ConsumerId, DeliveryId, Recipient, ReturnCause, Returned},
    exchange::Name,
    frame,
    message::Message,
    method,
    open_connection::{Consumer, Unacked},
    queue::Position,
    queue_state::{Entry, Location, QueueKind},
    state::State,
};
use crate::{
    broker::Inbound,
    task::TaskId,
    util::crash_point::{CrashPoint, crash_point},
};
use amq_protocol::protocol::{AMQPClass, basic};
use bytes::BytesMut;
use std::{collections::BTreeSet, sync::Arc};
use tokio::time::Instant;
use tracing::warn;

/// How many messages at the head of a queue are looked at for one that a consumer may have.
pub(super) const LOOK_AHEAD: usize = 64;

/// The credit of a consumer without a bound.
const UNBOUNDED: u64 = 1_000;

/// The header that counts failed deliveries, as quorum queues have it.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// Maximum number of bytes that the delivery count adds to the properties: its name, its value, the table's length.
const DELIVERY_COUNT_BYTES: usize = 1 + DELIVERY_COUNT.len() + 1 + 8 + 4;

impl State {
    /// How many more deliveries this consumer takes.
    pub(super) fn credit(&self, id: ConsumerId) -> u64 {
        let Some(consumer) = self.consumers.get(&id) else {
            return 0;
        };
        let Some(connection) = self.connections.get(&consumer.connection) else {
            return 0;
        };
        let Some(channel) = connection.channels.get(&consumer.channel) else {
            return 0;
        };
        if connection.outbox.exceeds(self.outbox_limit()) {
            return 0;
        }
        if connection.unacked_bytes > self.limits.queue_bytes && !self.takes_tasks(consumer) {
            return 0;
        }
        let own = consumer.prefetch.map_or(UNBOUNDED, |most| {
            u64::from(most.saturating_sub(consumer.unacked))
        });
        match channel.global_prefetch {
            0 => own,
            most => own.min(u64::from(most).saturating_sub(channel.unacked.len() as u64)),
        }
    }

    fn takes_tasks(&self, consumer: &Consumer) -> bool {
        let queue = self.queues.get(&consumer.queue);
        queue.is_some_and(|queue| matches!(queue.kind, QueueKind::Tasks(_)))
    }

    /// Counts a message between workers that a connection must acknowledge.
    pub(super) fn count_unacked(&mut self, id: ConnectionId, entry: &Entry) {
        if entry.task.is_none()
            && let Some(connection) = self.connections.get_mut(&id)
        {
            connection.unacked_bytes += entry.message.bytes();
        }
    }

    /// Delivers what waits in a queue to the consumers that take it.
    pub(super) fn dispatch(&mut self, name: &Name, now: Instant) {
        while let Some((consumer, position, entry)) = self.next_delivery(name, now) {
            self.deliver(name, consumer, (position, entry), now);
        }
        if let Some(queue) = self.queues.get(name) {
            queue.notify();
        }
    }

    /// Delivers in all queues from which this connection consumes.
    pub(crate) fn dispatch_for(&mut self, connection: ConnectionId, now: Instant) {
        let Some(open) = self.connections.get(&connection) else {
            return;
        };
        let channels = open.channels.values();
        let consumers = channels.flat_map(|channel| channel.consumers.values());
        let queues: BTreeSet<Name> = consumers
            .filter_map(|id| self.consumers.get(id))
            .map(|consumer| Arc::clone(&consumer.queue))
            .collect();
        for queue in queues {
            self.dispatch(&queue, now);
        }
    }

    fn next_delivery(
        &mut self,
        name: &Name,
        now: Instant,
    ) -> Option<(ConsumerId, Position, Entry)> {
        let queue = self.queues.get_mut(name)?;
        queue.drop_expired(now);
        if queue.waiting.is_empty() || (!self.delivers && matches!(queue.kind, QueueKind::Tasks(_)))
        {
            return None;
        }
        let has_single_consumer = queue.has_single_consumer();
        let candidates = if has_single_consumer {
            1
        } else {
            queue.consumers.len()
        };
        for index in 0..candidates {
            let consumer = *self.queues.get(name)?.consumers.get(index)?;
            if self.credit(consumer) == 0 {
                continue;
            }
            let connection = self.consumers.get(&consumer)?.connection;
            let frame_max = self.frame_max_for_parked(name, connection);
            let (queue, custody) = (self.queues.get_mut(name)?, &self.custody);
            let may = |entry: &Entry| {
                entry
                    .task
                    .is_none_or(|task| custody.may_deliver(task, Some(consumer), now))
                    && frame_max.is_none_or(|most| fits_frame(entry, most))
            };
            if let Some((position, entry)) = queue.waiting.take_first(LOOK_AHEAD, may) {
                // The consumer that was served goes to the end.
                if !has_single_consumer {
                    queue.consumers.remove(index);
                    queue.consumers.push_back(consumer);
                }
                return Some((consumer, position, entry));
            }
        }
        None
    }

    fn deliver(
        &mut self,
        queue: &Name,
        id: ConsumerId,
        (position, mut entry): (Position, Entry),
        now: Instant,
    ) {
        let Some(consumer) = self.consumers.get(&id) else {
            return;
        };
        let (connection, channel, no_ack) =
            (consumer.connection, consumer.channel, consumer.no_ack);
        if !self.fits(connection, &entry) {
            let to = Recipient {
                connection,
                consumer: Some(id),
                no_ack: false,
            };
            return self.drop_unfit(queue, entry, to, now);
        }
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return;
        };
        let tag = Arc::clone(&consumer.tag);
        if !no_ack {
            consumer.unacked += 1;
        }
        let Ok(open) = self.channel(connection, channel) else {
            return;
        };
        open.last_tag += 1;
        let delivery_tag = open.last_tag;
        let mut delivery = None;
        if let Some(task) = entry.task {
            let to = Recipient {
                connection,
                consumer: Some(id),
                no_ack,
            };
            delivery = self.hand_out(task, &mut entry, to, now);
            if !no_ack {
                let location = Location::Out(connection, channel, delivery_tag);
                self.locations.insert(task, location);
            }
        }
        let deliver = basic::AMQPMethod::Deliver(basic::Deliver {
            consumer_tag: (&*tag).into(),
            delivery_tag,
            redelivered: entry.redelivered,
            exchange: (&*entry.message.exchange).into(),
            routing_key: (&*entry.message.routing_key).into(),
        });
        self.send_content(connection, channel, deliver, &entry);
        if no_ack {
            self.message_left(queue, position, entry.message.bytes());
        } else {
            self.count_unacked(connection, &entry);
            let unacked = Unacked {
                consumer: Some(id),
                queue: Arc::clone(queue),
                position,
                delivery,
                since: now,
                entry: Some(entry),
            };
            if let Ok(open) = self.channel(connection, channel) {
                open.unacked.insert(delivery_tag, unacked);
            }
        }
    }

    /// Whether the content header of a message fits into a frame of this connection.
    pub(super) fn fits(&self, connection: ConnectionId, entry: &Entry) -> bool {
        let frame_max = self.connections.get(&connection).map(|open| open.frame_max);
        frame_max.is_none_or(|most| fits_frame(entry, most))
    }

    /// The size of a frame of a connection, if the queue is that of the parked replies. Each of these waits for a client that
    /// can take it. Other messages that a client can't take are dropped.
    pub(super) fn frame_max_for_parked(
        &self,
        queue: &Name,
        connection: ConnectionId,
    ) -> Option<u32> {
        let queue = self.queues.get(queue);
        queue.filter(|queue| matches!(queue.kind, QueueKind::Parked))?;
        self.connections.get(&connection).map(|open| open.frame_max)
    }

    /// Drops a message that a client can't take. A task becomes a dead letter.
    pub(super) fn drop_unfit(&mut self, queue: &Name, entry: Entry, to: Recipient, now: Instant) {
        let bytes = entry.message.properties.raw().len();
        if self.log_quota.allows(now) {
            warn!(
                queue = &**queue,
                bytes,
                "dropped a message whose properties are larger than a frame of the worker's connection; let the worker negotiate a greater frame_max"
            );
        }
        let Some(task) = entry.task else {
            self.dropped += 1;
            return;
        };
        self.locations.remove(&task);
        let delivered = self.custody.deliver(task, to, now);
        let Some(delivered) = delivered else { return };
        let cause = ReturnCause::Rejected;
        if let Returned::DeadLetter(death) = self.custody.returned(delivered.id, cause, now) {
            self.dead_letter(task, queue, death);
        }
    }

    /// Notes that a worker gets a task.
    pub(super) fn hand_out(
        &mut self,
        task: TaskId,
        entry: &mut Entry,
        to: Recipient,
        now: Instant,
    ) -> Option<DeliveryId> {
        self.locations.remove(&task);
        let delivered = self.custody.deliver(task, to, now)?;
        entry.redelivered = delivered.redelivered;
        entry.count = delivered.count;
        let count = entry.count;
        self.tell(Inbound::Delivered { task, count });
        if delivered.released {
            self.tell(Inbound::Released(task));
        }
        self.sooner.notify_one();
        crash_point(CrashPoint::AfterDeliver);
        Some(delivered.id)
    }

    /// Writes a method with its content to a channel.
    pub(super) fn send_content(
        &mut self,
        id: ConnectionId,
        channel: u16,
        method: basic::AMQPMethod,
        entry: &Entry,
    ) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let count = entry.task.filter(|_| entry.count > 0).map(|_| entry.count);
        let frame_max = connection.frame_max;
        connection.put(|out| {
            method::encode(&AMQPClass::Basic(method), channel, out)
                .map_err(|error| error.to_string())?;
            put_content(out, channel, &entry.message, count, frame_max)
        });
        self.count_outgoing(entry.message.bytes());
    }

    /// Puts a message back into its place in the queue.
    pub(super) fn put_back(&mut self, queue: &Name, position: Position, mut entry: Entry) {
        entry.redelivered = true;
        if let Some(state) = self.queues.get_mut(queue)
            && !state.waiting.is_before(position)
        {
            if let Some(task) = entry.task {
                let location = Location::Waiting(Arc::clone(queue), position);
                self.locations.insert(task, location);
            }
            let bytes = entry.message.bytes();
            state.waiting.put_back(position, entry, bytes);
        }
    }
}

/// Whether the content header of a message fits into a frame of this size.
pub(super) fn fits_frame(entry: &Entry, frame_max: u32) -> bool {
    let header = content_header::FIXED_LENGTH + entry.message.properties.raw().len();
    // A delivery count may be added.
    let count = entry.task.map_or(0, |_| DELIVERY_COUNT_BYTES);
    frame::fits(header + count, frame_max)
}

/// Writes a content header and the bodies of a message.
fn put_content(
    out: &mut BytesMut,
    channel: u16,
    message: &Message,
    delivery_count: Option<u32>,
    frame_max: u32,
) -> Result<(), String> {
    let properties = match delivery_count {
        None => message.properties.clone(),
        Some(count) => message
            .properties
            .with_header(DELIVERY_COUNT, i64::from(count))
            .map_err(|error| error.to_string())?,
    };
    let header = ContentHeader::new(message.body.len() as u64, properties);
    let written = header
        .encode(channel, out)
        .and_then(|()| frame::encode_body(out, channel, &message.body, frame_max));
    written.map_err(|error| error.to_string())
}
