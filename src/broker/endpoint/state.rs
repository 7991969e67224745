//! All that the endpoint knows: queues, exchanges, connections, consumers, and where each task is.
//!
//! The state is behind one lock, and no await happens while the lock is held. Each change is a method here or in one of
//! the files that add methods: `queues` (declarations), `consumers`, `deliver`, `settle` (acknowledgements), `publish`
//! (messages from workers), `tasks` (calls of the bridge).

use super::{
    confirms::Confirms,
    custody::Custody,
    custody_terms::{ConnectionId, ConsumerId, DeliveryId, Terms},
    exchange::{Exchanges, Kind, Name},
    fast_tasks::FastTasks,
    log_quota::LogQuota,
    memory_usage::MemoryUsage,
    message::Message,
    open_replies::OpenReplies,
    outbox::Outbox,
    parked_replies::ParkedReplies,
    queue::{Position, Queue},
    refusal::Refusal,
};
use crate::{
    broker::{
        Inbound,
        names::{CONTROL_EXCHANGE, REPLIES_EXCHANGE},
    },
    task::TaskId,
};
use amq_protocol::protocol::AMQPClass;
use bytes::BytesMut;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tracing::error;

/// Maximum age of the beginning of a frame or a message before graces stand still for it. A busy connection is always in
/// the middle of some message, and must not hold up all graces.
const MAX_STALL_AFTER: Duration = Duration::from_millis(20);

/// Maximum number of events that the bridge has not read. Above it no connection is read.
const MAX_UNREAD_EVENTS: usize = 10_000;

/// The bounds of the endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Maximum number of connections.
    pub(crate) connections: usize,
    /// Maximum number of open channels of a connection.
    pub(crate) channels: u16,
    /// Maximum number of consumers of a connection.
    pub(crate) consumers: usize,
    /// Maximum number of queues that a connection may declare.
    pub(crate) own_queues: usize,
    /// Maximum number of bindings that a connection may make.
    pub(crate) bindings: usize,
    /// Maximum size of a message, in bytes.
    pub(crate) message_bytes: usize,
    /// The prefetch of a consumer that sets none, on a queue of tasks.
    pub(crate) default_prefetch: u32,
    /// Maximum number of replies of a connection that AWS does not have yet. Above it the connection is not read.
    pub(crate) open_replies: usize,
    /// Maximum size of an outbox, in bytes. Above it the connection gets no deliveries and is not read.
    pub(crate) outbox_bytes: usize,
    /// Maximum number of messages in a worker's own queue, and of parked replies.
    pub(crate) queue_messages: usize,
    /// Maximum size of the messages in a worker's own queue, and of the parked replies, in bytes.
    pub(crate) queue_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000,
            channels: 255,
            consumers: 256,
            own_queues: 64,
            bindings: 256,
            message_bytes: 1 << 20,
            default_prefetch: 1,
            open_replies: 256,
            outbox_bytes: 1 << 20,
            queue_messages: 1_000,
            queue_bytes: 4 << 20,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) limits: Limits,
    pub(super) exchanges: Exchanges,
    pub(super) queues: HashMap<Name, QueueState>,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    pub(super) consumers: HashMap<ConsumerId, Consumer>,
    pub(super) custody: Custody,
    /// Where the message of each task is that waits or that a worker has. Bounded by the tasks in flight.
    pub(super) locations: HashMap<TaskId, Location>,
    /// The queue of each task that is not over. Bounded by the tasks in flight.
    pub(super) queue_of: HashMap<TaskId, Name>,
    /// The tasks that ended last. A reply to one of them is late, and casts no doubt on its connection.
    pub(super) ended: EndedTasks,
    /// Whether tasks are delivered. They are not before the recovery has read the store, and not at the end.
    pub(super) delivers: bool,
    /// The number of messages between workers that were dropped, because their queue was full or their frames did not fit.
    pub(super) dropped: u64,
    /// The bounds on the parked replies, and their file.
    pub(super) parked: ParkedReplies,
    /// The bounds on what all connections together have in memory.
    pub(super) usage: MemoryUsage,
    /// The bound on log lines about misbehaving clients.
    pub(super) log_quota: LogQuota,
    /// How old the beginning of a frame or a message must be before graces stand still for it.
    pub(super) stall_after: Duration,
    pub(super) events: mpsc::Sender<Inbound>,
    /// Notified when something becomes due.
    pub(super) sooner: Arc<Notify>,
    last_id: u64,
}

/// A message in a queue, or with a consumer.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(super) message: Arc<Message>,
    pub(super) task: Option<TaskId>,
    pub(super) redelivered: bool,
    /// How often a delivery of the message failed.
    pub(super) count: u32,
    /// When the message is dropped if it still waits. The custody knows when a task expires.
    pub(super) expires: Option<Instant>,
}

impl Entry {
    /// A message between workers.
    pub(super) fn new(message: Arc<Message>) -> Self {
        Self {
            message,
            task: None,
            redelivered: false,
            count: 0,
            expires: None,
        }
    }
}

/// A queue with its consumers.
#[derive(Debug)]
pub(crate) struct QueueState {
    pub(super) waiting: Queue<Entry>,
    /// The consumers, the next one first.
    pub(super) consumers: VecDeque<ConsumerId>,
    pub(super) has_exclusive_consumer: bool,
    pub(super) kind: QueueKind,
    /// Notified when the number of messages, consumers or the credit may have changed.
    pub(super) changed: Arc<Notify>,
    /// The tasks that workers were done with quickly.
    pub(super) fast: FastTasks,
}

/// Whose queue it is.
#[derive(Clone, Debug)]
pub(crate) enum QueueKind {
    /// A route's.
    Tasks(Arc<Terms>),
    /// The parked replies.
    Parked,
    /// A worker's own.
    Own(OwnQueue),
}

/// A worker's own queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnQueue {
    /// The connection that declared it. The queue ends with it, unless others consume from it.
    pub(super) maker: ConnectionId,
    pub(super) is_exclusive: bool,
    pub(super) is_auto_delete: bool,
    pub(super) is_durable: bool,
}

/// Where a task's message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// In this queue.
    Waiting(Name, Position),
    /// With a consumer, under this tag of this channel.
    Out(ConnectionId, u16, u64),
}

/// The ids of the tasks that ended last.
#[derive(Debug, Default)]
pub(crate) struct EndedTasks {
    /// The queue of each; `None` for a task that was in none.
    queues: HashMap<TaskId, Option<Name>>,
    in_order: VecDeque<TaskId>,
}

impl EndedTasks {
    /// Maximum number of ids.
    const MOST: usize = 20_000;

    pub(super) fn add(&mut self, task: TaskId, queue: Option<Name>) {
        if self.queues.contains_key(&task) {
            return;
        }
        self.queues.insert(task, queue);
        self.in_order.push_back(task);
        if self.in_order.len() > Self::MOST
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.queues.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, task: TaskId) -> bool {
        self.queues.contains_key(&task)
    }

    pub(super) fn queue_of(&self, task: TaskId) -> Option<&Name> {
        self.queues.get(&task)?.as_ref()
    }
}

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) outbox: Arc<Outbox>,
    pub(super) channels: BTreeMap<u16, Channel>,
    pub(super) frame_max: u32,
    /// Whether the client wants to be told when a queue under its consumer is deleted.
    pub(super) wants_cancels: bool,
    pub(super) open_replies: Arc<OpenReplies>,
    pub(super) own_queues: usize,
    /// The channels with confirms that are not sent yet.
    pub(super) confirming: BTreeSet<u16>,
    /// The queues whose tasks it may see and settle; `None` for all.
    pub(super) allowed: Option<Arc<BTreeSet<Name>>>,
    /// Whether it may consume the parked replies.
    pub(super) sees_parked: bool,
    /// The size of the workers' messages that it has not acknowledged, in bytes.
    pub(super) unacked_bytes: usize,
}

/// A channel.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Tells this channel from an earlier one with the same number.
    pub(super) generation: u64,
    pub(super) unacked: BTreeMap<u64, Unacked>,
    pub(super) last_tag: u64,
    /// The prefetch of consumers that begin from now on; 0 for none.
    pub(super) prefetch: u32,
    /// The bound on all unacknowledged deliveries of the channel; 0 for none.
    pub(super) global_prefetch: u32,
    pub(super) consumers: HashMap<Arc<str>, ConsumerId>,
    /// The confirms of the channel, if it is in confirm mode.
    pub(super) confirms: Option<Confirms>,
    pub(super) last_queue: Name,
}

/// A delivery that is not acknowledged.
#[derive(Debug)]
pub(crate) struct Unacked {
    pub(super) consumer: Option<ConsumerId>,
    pub(super) queue: Name,
    pub(super) position: Position,
    /// `None` for a message between workers.
    pub(super) delivery: Option<DeliveryId>,
    /// When it was delivered.
    pub(super) since: Instant,
    /// `None` for a task that ended meanwhile or was taken back.
    pub(super) entry: Option<Entry>,
}

/// A consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(super) connection: ConnectionId,
    pub(super) channel: u16,
    pub(super) tag: Arc<str>,
    pub(super) queue: Name,
    pub(super) no_ack: bool,
    /// Maximum number of unacknowledged deliveries; `None` for no bound.
    pub(super) prefetch: Option<u32>,
    pub(super) unacked: u32,
}

impl State {
    /// A state without connections. Its events go to `events`.
    pub(crate) fn new(limits: Limits, events: mpsc::Sender<Inbound>, now: Instant) -> Self {
        let own = [
            (CONTROL_EXCHANGE, Kind::Topic),
            (REPLIES_EXCHANGE, Kind::Direct),
        ];
        Self {
            exchanges: Exchanges::new(&own, limits.bindings),
            parked: ParkedReplies::new(limits.queue_messages, limits.queue_bytes),
            limits,
            queues: HashMap::new(),
            connections: HashMap::new(),
            consumers: HashMap::new(),
            custody: Custody::new(now),
            locations: HashMap::new(),
            queue_of: HashMap::new(),
            ended: EndedTasks::default(),
            delivers: false,
            dropped: 0,
            usage: MemoryUsage::default(),
            log_quota: LogQuota::new(now),
            stall_after: MAX_STALL_AFTER,
            events,
            sooner: Arc::new(Notify::new()),
            last_id: 0,
        }
    }

    /// A new id, for whatever needs one.
    pub(super) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Tells the bridge. The stream has room for everything that can be open at once.
    pub(super) fn tell(&self, inbound: Inbound) {
        if let Err(error) = self.events.try_send(inbound)
            && !self.events.is_closed()
        {
            error!(%error, "the bridge does not read its events; this is a bug of activity-bridge");
        }
    }

    /// Writes a method to a channel.
    pub(super) fn send(&self, connection: ConnectionId, channel: u16, method: &AMQPClass) {
        if let Some(connection) = self.connections.get(&connection) {
            connection.put(|out| {
                super::method::encode(method, channel, out).map_err(|error| error.to_string())
            });
        }
    }

    /// The channel, or the refusal of a client that uses one that is not open.
    pub(super) fn channel(
        &mut self,
        connection: ConnectionId,
        channel: u16,
    ) -> Result<&mut Channel, Refusal> {
        let open = self.connections.get_mut(&connection);
        let open = open.and_then(|connection| connection.channels.get_mut(&channel));
        open.ok_or_else(|| Refusal::connection(504, format_args!("channel {channel} is not open")))
    }

    /// Takes up a connection after its handshake. `None` if there are too many.
    pub(crate) fn open_connection(&mut self, connection: Connection) -> Option<ConnectionId> {
        if self.connections.len() >= self.limits.connections {
            return None;
        }
        let id = self.new_id();
        self.connections.insert(id, connection);
        Some(id)
    }

    /// Opens a channel.
    pub(crate) fn open_channel(&mut self, id: ConnectionId, number: u16) -> Result<(), Refusal> {
        let generation = self.new_id();
        let most = self.limits.channels;
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        if connection.channels.contains_key(&number) {
            let text = format_args!("channel {number} is open already");
            return Err(Refusal::connection(504, text));
        }
        if connection.channels.len() >= usize::from(most) {
            let text = format_args!(
                "number of channels opened ({most}) has reached the negotiated channel_max ({most})"
            );
            return Err(Refusal::connection(530, text));
        }
        let channel = Channel {
            generation,
            unacked: BTreeMap::new(),
            last_tag: 0,
            prefetch: 0,
            global_prefetch: 0,
            consumers: HashMap::new(),
            confirms: None,
            last_queue: "".into(),
        };
        connection.channels.insert(number, channel);
        Ok(())
    }

    /// Whether the connection must not be read for now: too much of it is in the bridge's hands, it does not read, or the
    /// bridge is behind with its events.
    pub(crate) fn must_pause(&self, id: ConnectionId) -> bool {
        let unread = self.events.max_capacity() - self.events.capacity();
        if unread > MAX_UNREAD_EVENTS && !self.events.is_closed() {
            return true;
        }
        self.connections.get(&id).is_some_and(|connection| {
            connection.open_replies.count() >= self.limits.open_replies
                || connection.outbox.exceeds(self.outbox_limit())
        })
    }

    /// Maximum size of an outbox at present, in bytes.
    pub(super) fn outbox_limit(&self) -> usize {
        self.usage.outbox_limit(self.limits.outbox_bytes)
    }

    /// Notes whether the connection is paused or in the middle of a message. Meanwhile no grace ends.
    pub(crate) fn set_stalled(&mut self, id: ConnectionId, stalled: bool, now: Instant) {
        match stalled {
            true => self.custody.pause(id, now),
            false => self.custody.resume(id, now),
        }
        self.sooner.notify_one();
    }
}

impl Connection {
    /// Notes that a message is confirmed. [`State::send_confirms`] tells the client.
    pub(super) fn note_confirm(&mut self, number: u16, sequence: u64) {
        let channel = self.channels.get_mut(&number);
        if let Some(confirms) = channel.and_then(|channel| channel.confirms.as_mut()) {
            confirms.confirm(sequence);
            self.confirming.insert(number);
        }
    }

    /// Appends what `write` writes. Nothing that the endpoint writes is too long for a frame, so an error is a bug.
    pub(super) fn put(&self, write: impl FnOnce(&mut BytesMut) -> Result<(), String>) {
        self.outbox.put(|out| {
            if let Err(error) = write(out) {
                error!(
                    error,
                    "a frame could not be written; this is a bug of activity-bridge"
                );
            }
        });
    }
}

impl QueueState {
    pub(super) fn new(kind: QueueKind, now: Instant) -> Self {
        Self {
            waiting: Queue::default(),
            consumers: VecDeque::new(),
            has_exclusive_consumer: false,
            kind,
            changed: Arc::new(Notify::new()),
            fast: FastTasks::new(now),
        }
    }

    /// Drops the messages at the head that have expired.
    pub(super) fn drop_expired(&mut self, now: Instant) {
        let has_expired = |entry: &Entry| entry.expires.is_some_and(|at| at <= now);
        while self.waiting.take_first(1, has_expired).is_some() {}
    }

    /// Wakes whoever waits for a change.
    pub(super) fn notify(&self) {
        self.changed.notify_waiters();
        self.changed.notify_one();
    }
}
