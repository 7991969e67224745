//! What becomes of deliveries: acknowledged, rejected, come back, lost with their channel, taken back.

use super::{
    custody_terms::{
        Acked, ConnectionId, ConsumerId, DeliveryId, Due, ReleaseCause, Released, ReturnCause,
        Returned,
    },
    exchange::Name,
    open_connection::Unacked,
    queue_state::{Location, QueueKind},
    refusal::Refusal,
    state::State,
};
use crate::{
    broker::{Delivery, Inbound},
    task::{DeadLetter, Death, TaskId},
    util::crash_point::{CrashPoint, crash_point},
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::time::Instant;
use tracing::{info, warn};

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// `basic.ack`.
    Acked,
    /// Anything else.
    Returned(ReturnCause),
}

impl State {
    /// `basic.ack`, `basic.nack`, `basic.reject`.
    pub(super) fn resolve(
        &mut self,
        (connection, channel): (ConnectionId, u16),
        (tag, multiple): (u64, bool),
        fate: Fate,
        now: Instant,
    ) -> Result<(), Refusal> {
        let open = self.channel(connection, channel)?;
        let tags: Vec<u64> = match (multiple, tag) {
            (false, tag) => {
                let known = open.unacked.contains_key(&tag);
                known.then_some(tag).into_iter().collect()
            }
            (true, 0) => open.unacked.keys().copied().collect(),
            (true, tag) => open.unacked.range(..=tag).map(|(tag, _)| *tag).collect(),
        };
        if tags.is_empty() && !(multiple && tag == 0) {
            return Err(Refusal::precondition(format_args!(
                "unknown delivery tag {tag}"
            )));
        }
        let was_full = self.is_full_of_unacked(connection);
        let mut queues = BTreeSet::new();
        for tag in tags {
            let open = self.channel(connection, channel)?;
            if let Some(unacked) = open.unacked.remove(&tag) {
                queues.insert(Arc::clone(&unacked.queue));
                self.settle_one(connection, unacked, fate, now);
            }
        }
        self.dispatch_after((connection, channel), queues, now);
        if was_full {
            self.dispatch_for(connection, now);
        }
        Ok(())
    }

    /// Whether a connection gets no more messages between workers before it acknowledges some.
    pub(super) fn is_full_of_unacked(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_some_and(|connection| connection.unacked_bytes > self.limits.queue_bytes)
    }

    /// `basic.recover` with requeue: all deliveries of the channel come back.
    pub(super) fn recover(
        &mut self,
        (connection, channel): (ConnectionId, u16),
        now: Instant,
    ) -> Result<(), Refusal> {
        let open = self.channel(connection, channel)?;
        let all = std::mem::take(&mut open.unacked);
        let queues = self.settle_all(
            connection,
            all.into_values(),
            Fate::Returned(ReturnCause::Recovered),
            now,
        );
        self.dispatch_after((connection, channel), queues, now);
        Ok(())
    }

    /// Delivers in these queues, and in all of the channel if it has a bound of its own.
    fn dispatch_after(
        &mut self,
        (connection, channel): (ConnectionId, u16),
        mut queues: BTreeSet<Name>,
        now: Instant,
    ) {
        let consumers: Vec<u64> = match self.channel(connection, channel) {
            Ok(open) if open.global_prefetch > 0 => open.consumers.values().copied().collect(),
            _ => Vec::new(),
        };
        let of_channel = consumers.iter().filter_map(|id| self.consumers.get(id));
        queues.extend(of_channel.map(|consumer| Arc::clone(&consumer.queue)));
        for queue in queues {
            self.dispatch(&queue, now);
        }
    }

    /// Settles deliveries, the last one first, so that each finds its place. Returns their queues.
    fn settle_all(
        &mut self,
        connection: ConnectionId,
        all: impl DoubleEndedIterator<Item = Unacked>,
        fate: Fate,
        now: Instant,
    ) -> BTreeSet<Name> {
        let mut queues = BTreeSet::new();
        for unacked in all {
            queues.insert(Arc::clone(&unacked.queue));
            self.settle_one(connection, unacked, fate, now);
        }
        queues
    }

    fn settle_one(&mut self, connection: ConnectionId, unacked: Unacked, fate: Fate, now: Instant) {
        if let Some(entry) = unacked.entry.as_ref().filter(|entry| entry.task.is_none())
            && let Some(connection) = self.connections.get_mut(&connection)
        {
            let bytes = entry.message.bytes();
            connection.unacked_bytes = connection.unacked_bytes.saturating_sub(bytes);
        }
        let consumer = unacked.consumer.and_then(|id| self.consumers.get_mut(&id));
        if let Some(consumer) = consumer {
            consumer.unacked = consumer.unacked.saturating_sub(1);
        }
        let Some(delivery) = unacked.delivery else {
            let requeue = match fate {
                Fate::Acked | Fate::Returned(ReturnCause::Rejected) => false,
                Fate::Returned(_) => true,
            };
            match unacked.entry {
                Some(entry) if requeue => self.put_back(&unacked.queue, unacked.position, entry),
                Some(entry) => {
                    let bytes = entry.message.bytes();
                    self.message_left(&unacked.queue, unacked.position, bytes);
                }
                None => {}
            }
            return;
        };
        let task = delivery.task;
        match fate {
            Fate::Acked => {
                if let Some(queue) = self.queues.get_mut(&unacked.queue) {
                    queue.fast.done(unacked.since, now);
                }
                self.acked(delivery, &unacked.queue, now);
            }
            Fate::Returned(cause) => {
                let returned = self.custody.returned(delivery, cause, now);
                self.came_back(task, unacked, returned);
            }
        }
    }

    fn acked(&mut self, delivery: DeliveryId, queue: &Name, now: Instant) {
        crash_point(CrashPoint::OnAck);
        let task = delivery.task;
        match self.custody.ack(delivery, now) {
            Acked::Nothing => {}
            Acked::Released(cause) => {
                match cause {
                    ReleaseCause::Mode => {}
                    ReleaseCause::Spoken => {
                        warn!(%task, queue = &**queue, "a worker acknowledged a task about which it had said something, without a final reply; AWS decides by its timeouts unless one comes");
                    }
                    ReleaseCause::Distrust => {
                        warn!(%task, queue = &**queue, "a worker acknowledged a task on a connection on which a reply with an unknown id had come; the task is not completed, and AWS decides by its timeouts unless a final reply comes");
                    }
                }
                self.released(Released {
                    task,
                    abandoned: false,
                });
            }
            Acked::Grace => {
                self.locations.remove(&task);
                self.sooner.notify_one();
            }
        }
    }

    pub(super) fn released(&mut self, released: Released) {
        let Released { task, abandoned } = released;
        self.locations.remove(&task);
        self.tell(Inbound::Released(task));
        if abandoned {
            self.tell(Inbound::Abandoned(task));
        }
    }

    fn came_back(&mut self, task: TaskId, unacked: Unacked, returned: Returned) {
        match (returned, unacked.entry) {
            (Returned::Waits { count }, Some(mut entry)) => {
                entry.count = count;
                self.put_back(&unacked.queue, unacked.position, entry);
                self.tell(Inbound::CameBack { task, count });
                self.sooner.notify_one();
            }
            (Returned::DeadLetter(death), _) => self.dead_letter(task, &unacked.queue, death),
            (Returned::Nothing | Returned::Waits { .. }, _) => {}
        }
    }

    /// Tells the bridge that a task's message has died.
    pub(super) fn dead_letter(&mut self, task: TaskId, queue: &str, death: Death) {
        self.locations.remove(&task);
        let dead_letter = DeadLetter {
            death,
            queue: queue.to_owned(),
        };
        self.tell(Inbound::DeadLetter(dead_letter, Delivery::about(task)));
    }

    /// Ends a channel. Its consumers end, and its deliveries come back.
    pub(crate) fn close_channel(
        &mut self,
        id: ConnectionId,
        number: u16,
        cause: ReturnCause,
        now: Instant,
    ) {
        self.send_confirms(id);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(channel) = connection.channels.remove(&number) else {
            return;
        };
        let consumers: Vec<ConsumerId> = channel.consumers.into_values().collect();
        self.end_consumers(&consumers, now);
        let all = channel.unacked.into_values();
        for queue in self.settle_all(id, all, Fate::Returned(cause), now) {
            self.dispatch(&queue, now);
        }
    }

    /// Ends a connection. Its channels end, and its queues.
    pub(crate) fn close_connection(&mut self, id: ConnectionId, cause: ReturnCause, now: Instant) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let channels: Vec<u16> = connection.channels.keys().copied().collect();
        let all = connection.channels.values();
        let consumers: Vec<ConsumerId> = all
            .flat_map(|channel| channel.consumers.values().copied())
            .collect();
        // No delivery that comes back goes to another channel of this connection.
        self.end_consumers(&consumers, now);
        for number in channels {
            self.close_channel(id, number, cause, now);
        }
        self.connections.remove(&id);
        self.delete_queues_of(id, now);
        let queues = &self.queues;
        self.exchanges.unbind_made_by(id, |name| {
            let queue = queues.get(name);
            queue.is_some_and(|queue| !matches!(queue.kind, QueueKind::Own(_)))
        });
        for task in self.custody.connection_ended(id, now) {
            self.tell(Inbound::Abandoned(task));
        }
        self.sooner.notify_one();
    }

    /// Does what is due: graces that end, deliveries to take back, messages that expire, queues that nobody uses.
    pub(crate) fn do_due(&mut self, now: Instant) {
        self.end_unused_queues(now);
        for due in self.custody.due(now) {
            match due {
                Due::Complete(task) => {
                    self.locations.remove(&task);
                    self.tell(Inbound::Acknowledged(task));
                }
                Due::TakenBack { task, count } => self.take_back(task, count, now),
                Due::DeadLetter(task, death) => {
                    let queue = self.take_message(task);
                    let queue = queue.unwrap_or_else(|| "".into());
                    self.dead_letter(task, &queue, death);
                }
                Due::AnyConsumer(task) => {
                    if let Some(Location::Waiting(queue, _)) = self.locations.get(&task).cloned() {
                        self.dispatch(&queue, now);
                    }
                }
            }
        }
    }

    /// When the next thing is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let next = [self.custody.next_due(), self.unused.next_check()];
        next.into_iter().flatten().min()
    }

    fn take_back(&mut self, task: TaskId, count: u32, now: Instant) {
        let Some(Location::Out(connection, channel, tag)) = self.locations.get(&task).cloned()
        else {
            return;
        };
        let Ok(open) = self.channel(connection, channel) else {
            return;
        };
        let Some(unacked) = open.unacked.get_mut(&tag) else {
            return;
        };
        // The delivery stays, without its message: a late acknowledgement of it is no error.
        let Some(mut entry) = unacked.entry.take() else {
            return;
        };
        let (queue, position) = (Arc::clone(&unacked.queue), unacked.position);
        info!(%task, queue = &*queue, "a worker has had a task for longer than ack_timeout_secs; giving it to another");
        entry.count = count;
        self.put_back(&queue, position, entry);
        self.tell(Inbound::CameBack { task, count });
        self.dispatch(&queue, now);
    }

    /// Takes a task's message from where it is. Returns the name of its queue.
    pub(super) fn take_message(&mut self, task: TaskId) -> Option<Name> {
        match self.locations.remove(&task)? {
            Location::Waiting(name, position) => {
                let queue = self.queues.get_mut(&name)?;
                queue.waiting.remove(position);
                queue.notify();
                Some(name)
            }
            Location::Out(connection, channel, tag) => {
                let open = self.channel(connection, channel).ok()?;
                let unacked = open.unacked.get_mut(&tag)?;
                unacked.entry = None;
                Some(Arc::clone(&unacked.queue))
            }
        }
    }
}
