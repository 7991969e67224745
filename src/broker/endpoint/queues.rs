//! Declarations of queues, and what else a client does with a queue that it names.

use super::{
    custody_terms::ConnectionId,
    direct_reply::DIRECT_REPLY_TO,
    exchange::Name,
    own_queue::OwnQueue,
    queue::Queue,
    queue_state::{QueueKind, QueueState},
    refusal::Refusal,
    state::State,
};
use crate::broker::names::{PARKING_QUEUE, REPLIES_EXCHANGE};
use amq_protocol::protocol::queue;
use std::sync::Arc;
use tokio::time::Instant;

impl State {
    /// `queue.declare`. Returns the queue's name, and how many messages and consumers it has.
    pub(super) fn declare_queue(
        &mut self,
        (connection, channel): (ConnectionId, u16),
        declare: &queue::Declare,
        now: Instant,
    ) -> Result<(Name, u32, u32), Refusal> {
        let wanted = declare.queue.as_str();
        if wanted == DIRECT_REPLY_TO && declare.passive {
            return Ok((wanted.into(), 0, 1));
        }
        let name: Name = match wanted {
            "" if declare.passive => Arc::clone(&self.channel(connection, channel)?.last_queue),
            "" => self.generated_name("amq.gen", '-'),
            name => name.into(),
        };
        if let Some(queue) = self.queues.get_mut(&name) {
            queue.drop_expired(now);
        }
        match self.queues.get(&name) {
            Some(queue) => {
                self.check_declare(connection, &name, queue, declare)?;
                self.adopt_queue(connection, &name);
            }
            None if declare.passive => return Err(Refusal::not_found("queue", &name)),
            None => self.create_queue(connection, &name, declare, now)?,
        }
        self.channel(connection, channel)?.last_queue = Arc::clone(&name);
        self.note_use(&name, now);
        let queue = &self.queues[&name];
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok((
            Arc::clone(&name),
            count(queue.waiting.len()),
            count(queue.consumers.len()),
        ))
    }

    /// A name that nobody can guess.
    pub(super) fn generated_name(&mut self, prefix: &str, separator: char) -> Name {
        format!("{prefix}{separator}{:032x}", rand::random::<u128>()).into()
    }

    fn check_declare(
        &self,
        connection: ConnectionId,
        name: &str,
        queue: &QueueState,
        declare: &queue::Declare,
    ) -> Result<(), Refusal> {
        // A route's queue takes any flags and arguments: workers declare it for whatever broker they meet.
        let QueueKind::Own(own) = &queue.kind else {
            return Ok(());
        };
        own.check_access(connection, name)?;
        if declare.passive {
            return Ok(());
        }
        own.check_same(name, declare)
    }

    fn create_queue(
        &mut self,
        connection: ConnectionId,
        name: &Name,
        declare: &queue::Declare,
        now: Instant,
    ) -> Result<(), Refusal> {
        let wanted = declare.queue.as_str();
        if wanted.starts_with("amq.") {
            return Err(Refusal::access(format_args!(
                "queue name '{wanted}' contains reserved prefix 'amq.*'"
            )));
        }
        if wanted.starts_with(REPLIES_EXCHANGE) {
            return Err(Refusal::access(format_args!(
                "queue name '{wanted}' is the bridge's own"
            )));
        }
        if declare.durable && !declare.exclusive && !declare.auto_delete {
            return Err(Refusal::precondition(format_args!(
                "queue '{name}' can't be durable, because this broker keeps no messages; declare it as not durable, exclusive or auto-delete, or name a route's queue"
            )));
        }
        let own = OwnQueue::declared(connection, declare, now)?;
        let most = self.limits.kept_queues;
        if own.is_kept() && self.unused.kept >= most && !self.drop_longest_unused() {
            return Err(Refusal::channel(
                506,
                format_args!(
                    "more than {most} queues of all connections that are neither exclusive nor auto-delete; declare queue '{name}' exclusive or auto-delete, or delete others"
                ),
            ));
        }
        let most = self.limits.own_queues;
        let Some(owner) = self.connections.get_mut(&connection) else {
            return Ok(());
        };
        if owner.own_queues >= most {
            return Err(Refusal::channel(
                506,
                format_args!("more than {most} queues of one connection"),
            ));
        }
        owner.own_queues += 1;
        self.unused.kept += usize::from(own.is_kept());
        let mut queue = QueueState::new(QueueKind::Own(own), now);
        // A message of an earlier queue of this name may come back. It has a lower place, and is dropped.
        queue.waiting = Queue::starting_at(self.new_id() << 32);
        self.queues.insert(Arc::clone(name), queue);
        self.schedule_check(name, now);
        Ok(())
    }

    /// A queue that has outlived its connection belongs to the next one that declares it, unless that has its number of
    /// queues already.
    fn adopt_queue(&mut self, connection: ConnectionId, name: &Name) {
        let Some(QueueKind::Own(own)) = self.queues.get_mut(name).map(|queue| &mut queue.kind)
        else {
            return;
        };
        if self.connections.contains_key(&own.maker) {
            return;
        }
        if let Some(heir) = self.connections.get_mut(&connection)
            && heir.own_queues < self.limits.own_queues
        {
            heir.own_queues += 1;
            own.maker = connection;
            self.unused.kept -= usize::from(own.is_left);
            own.is_left = false;
        }
    }

    /// The queue that a client names, `""` for the last one that its channel declared. It may be used by this client.
    pub(super) fn named_queue(
        &mut self,
        (connection, channel): (ConnectionId, u16),
        name: &str,
    ) -> Result<Name, Refusal> {
        let name = match name {
            "" => Arc::clone(&self.channel(connection, channel)?.last_queue),
            name => name.into(),
        };
        if name.is_empty() {
            return Err(Refusal::not_found(
                "queue",
                "(none was declared on this channel)",
            ));
        }
        let Some(queue) = self.queues.get(&name) else {
            return Err(Refusal::not_found("queue", &name));
        };
        let user = self.connections.get(&connection);
        match &queue.kind {
            QueueKind::Own(own) => own.check_access(connection, &name)?,
            QueueKind::Tasks(_) => {
                let allowed = user
                    .is_none_or(|user| user.allowed.as_ref().is_none_or(|of| of.contains(&name)));
                if !allowed {
                    return Err(Refusal::access(format_args!(
                        "the user may not use queue '{name}'; name its route in amqp.users"
                    )));
                }
            }
            QueueKind::Parked => {
                if !user.is_none_or(|user| user.sees_parked) {
                    return Err(Refusal::access(format_args!(
                        "the user may not read '{PARKING_QUEUE}'; set parked = true in amqp.users"
                    )));
                }
            }
        }
        Ok(name)
    }

    /// `queue.purge`. Returns the number of messages.
    pub(super) fn purge_queue(
        &mut self,
        at: (ConnectionId, u16),
        name: &str,
    ) -> Result<u32, Refusal> {
        let name = self.named_queue(at, name)?;
        let Some(queue) = self.queues.get_mut(&name) else {
            return Ok(0);
        };
        if matches!(queue.kind, QueueKind::Tasks(_)) {
            return Err(Refusal::access(format_args!(
                "queue '{name}' holds tasks of AWS, which can't be purged; end them there"
            )));
        }
        let purged = queue.waiting.purge();
        for (position, bytes) in &purged {
            self.message_left(&name, *position, *bytes);
        }
        Ok(u32::try_from(purged.len()).unwrap_or(u32::MAX))
    }

    /// `queue.delete`. Returns the number of messages. A missing queue is no error. The consumers to cancel are told by
    /// [`State::remove_queue`], which the caller calls after its answer.
    pub(super) fn check_delete(
        &mut self,
        (connection, channel): (ConnectionId, u16),
        delete: &queue::Delete,
    ) -> Result<Option<(Name, u32)>, Refusal> {
        let name = match delete.queue.as_str() {
            "" => Arc::clone(&self.channel(connection, channel)?.last_queue),
            name => name.into(),
        };
        let Some(queue) = self.queues.get(&name) else {
            return Ok(None);
        };
        let QueueKind::Own(own) = &queue.kind else {
            return Err(Refusal::access(format_args!(
                "queue '{name}' belongs to the bridge; remove its route from the configuration instead"
            )));
        };
        own.check_access(connection, &name)?;
        if delete.if_unused && !queue.consumers.is_empty() {
            return Err(Refusal::precondition(format_args!(
                "queue '{name}' in vhost '/' in use"
            )));
        }
        if delete.if_empty && !queue.waiting.is_empty() {
            return Err(Refusal::precondition(format_args!(
                "queue '{name}' in vhost '/' is not empty"
            )));
        }
        let count = u32::try_from(queue.waiting.len()).unwrap_or(u32::MAX);
        Ok(Some((name, count)))
    }
}
