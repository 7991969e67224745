//! All that the endpoint knows: queues, exchanges, connections, consumers, and where each task is.
//!
//! The state is behind one lock, and no await happens while the lock is held. Each change is a method here or in one of
//! the files that add methods: `queues` and `bindings` (declarations), `queue_ends`, `consumers`, `deliver`, `settle`
//! (acknowledgements), `publish` (messages from workers), `tasks` (calls of the bridge).

use super::{
    custody::Custody,
    custody_terms::{ConnectionId, ConsumerId},
    ended_tasks::EndedTasks,
    exchange::{Kind, Name},
    exchanges::Exchanges,
    limits::Limits,
    log_quota::LogQuota,
    memory_usage::MemoryUsage,
    open_connection::{Channel, Connection, Consumer},
    open_replies::AllReplyBytes,
    parked_replies::ParkedReplies,
    queue_state::{Location, QueueState},
    refusal::Refusal,
    unused_queues::UnusedQueues,
};
use crate::{
    broker::{
        Inbound,
        names::{CONTROL_EXCHANGE, REPLIES_EXCHANGE},
    },
    task::TaskId,
};
use amq_protocol::protocol::AMQPClass;
use std::{
    collections::{BTreeMap, HashMap},
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
    /// The queues that may end without use.
    pub(super) unused: UnusedQueues,
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
            unused: UnusedQueues::default(),
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
            connection.open_replies.are_too_many(&self.limits)
                || connection.outbox.exceeds(self.outbox_limit())
        })
    }

    /// The count of the bytes of open replies, for a connection that begins.
    pub(super) fn all_reply_bytes(&self) -> AllReplyBytes {
        Arc::clone(&self.usage.open_replies)
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
