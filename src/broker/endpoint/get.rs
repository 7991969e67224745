//! `basic.get`: one message, without a consumer.

use super::{
    custody_terms::{ConnectionId, Recipient},
    deliver::{LOOK_AHEAD, fits_frame},
    open_connection::Unacked,
    queue_state::{Entry, Location, QueueKind},
    refusal::Refusal,
    state::State,
};
use amq_protocol::protocol::{AMQPClass, basic};
use tokio::time::Instant;

/// Maximum number of unacknowledged deliveries of a channel up to which it may get more by `basic.get`.
const MAX_UNACKED: usize = 65_535;

impl State {
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
        self.note_use(&name, now);
        let delivers = self.delivers;
        let frame_max = self.frame_max_for_parked(&name, connection);
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
                && frame_max.is_none_or(|most| fits_frame(entry, most))
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
        if get.no_ack {
            self.message_left(&name, position, entry.message.bytes());
        } else {
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
