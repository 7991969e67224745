//! Declarations of queues, and what else a client does with a queue that it names.

use super::{
    custody_terms::ConnectionId,
    direct_reply::DIRECT_REPLY_TO,
    exchange::Name,
    own_queue::OwnQueue,
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
            Some(queue) => self.check_declare(connection, &name, queue, declare)?,
            None if declare.passive => return Err(Refusal::not_found("queue", &name)),
            None => self.create_queue(connection, &name, declare, now)?,
        }
        self.channel(connection, channel)?.last_queue = Arc::clone(&name);
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
        if declare.exclusive != own.is_exclusive {
            return Err(OwnQueue::locked(name));
        }
        for (what, received, current) in [
            ("durable", declare.durable, own.is_durable),
            ("auto_delete", declare.auto_delete, own.is_auto_delete),
        ] {
            if received != current {
                return Err(Refusal::precondition(format_args!(
                    "inequivalent arg '{what}' for queue '{name}' in vhost '/': received '{received}' but current is '{current}'"
                )));
            }
        }
        Ok(())
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
                "queue '{name}' can't be durable, because this broker keeps no messages; declare it exclusive or auto-delete, or name a route's queue"
            )));
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
        let own = OwnQueue {
            maker: connection,
            is_exclusive: declare.exclusive,
            is_auto_delete: declare.auto_delete,
            is_durable: declare.durable,
        };
        let queue = QueueState::new(QueueKind::Own(own), now);
        self.queues.insert(Arc::clone(name), queue);
        Ok(())
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
        Ok(u32::try_from(queue.waiting.purge()).unwrap_or(u32::MAX))
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
