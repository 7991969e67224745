//! How workers' own queues end: deleted, with their connection, or because nobody has used them for a while.

use super::{
    custody_terms::ConnectionId,
    exchange::{Name, Target},
    queue_state::QueueKind,
    state::State,
};
use amq_protocol::protocol::{AMQPClass, basic};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Minimum interval between two checks of a queue that somebody uses.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl State {
    /// Notes that somebody uses a queue.
    pub(super) fn note_use(&mut self, name: &str, now: Instant) {
        if let Some(queue) = self.queues.get_mut(name)
            && let QueueKind::Own(own) = &mut queue.kind
        {
            own.last_use = now;
        }
    }

    /// Sets when to look whether a queue was used, if it can end without use.
    pub(super) fn schedule_check(&mut self, name: &Name, now: Instant) {
        let unused = self.limits.unused;
        let Some(queue) = self.queues.get_mut(name) else {
            return;
        };
        let is_consumed = !queue.consumers.is_empty();
        let QueueKind::Own(own) = &mut queue.kind else {
            return;
        };
        // The connection of the queue may end before the next check.
        let Some(shortest) = own.ends_after(false, unused) else {
            return;
        };
        let has_maker = self.connections.contains_key(&own.maker);
        let after = own.ends_after(has_maker, unused);
        let at = match after.filter(|_| !is_consumed) {
            Some(after) => (now + shortest).min(own.last_use + after),
            None => now + shortest.max(CHECK_INTERVAL),
        };
        if let Some(old) = own.next_check.replace(at) {
            self.unused.checks.remove(&(old, Arc::clone(name)));
        }
        self.unused.checks.insert((at, Arc::clone(name)));
        self.sooner.notify_one();
    }

    /// Deletes the queues that nobody has used for their time.
    pub(super) fn end_unused_queues(&mut self, now: Instant) {
        while let Some((at, name)) = self.unused.checks.first().cloned()
            && at <= now
        {
            self.unused.checks.pop_first();
            let Some(queue) = self.queues.get_mut(&name) else {
                continue;
            };
            let is_consumed = !queue.consumers.is_empty();
            let QueueKind::Own(own) = &mut queue.kind else {
                continue;
            };
            own.next_check = None;
            let has_maker = self.connections.contains_key(&own.maker);
            let after = own.ends_after(has_maker, self.limits.unused);
            match after {
                Some(after) if !is_consumed && own.last_use + after <= now => {
                    self.remove_queue(&name);
                }
                _ => self.schedule_check(&name, now),
            }
        }
    }

    /// Deletes the queue that nobody has used for the longest time, of those that have outlived their connection and
    /// have no consumer. False if there is none.
    pub(super) fn drop_longest_unused(&mut self) -> bool {
        let unused = self.queues.iter().filter_map(|(name, queue)| {
            let QueueKind::Own(own) = &queue.kind else {
                return None;
            };
            let is_unused = own.is_kept()
                && queue.consumers.is_empty()
                && !self.connections.contains_key(&own.maker);
            is_unused.then_some((own.last_use, name))
        });
        let Some(name) = unused.min().map(|(_, name)| Arc::clone(name)) else {
            return false;
        };
        self.remove_queue(&name);
        true
    }

    /// Deletes a worker's queue, and tells its consumers.
    pub(super) fn remove_queue(&mut self, name: &Name) {
        let Some(queue) = self.queues.remove(name) else {
            return;
        };
        if let QueueKind::Own(own) = &queue.kind {
            if let Some(maker) = self.connections.get_mut(&own.maker) {
                maker.own_queues -= 1;
            }
            if let Some(at) = own.next_check {
                self.unused.checks.remove(&(at, Arc::clone(name)));
            }
            self.unused.kept -= usize::from(own.is_kept());
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

    /// Deletes the exclusive queues of a connection that ended. The time of the others without use begins. An auto-delete
    /// queue that never had a consumer stays too, if there is room.
    pub(super) fn delete_queues_of(&mut self, connection: ConnectionId, now: Instant) {
        let (mut ended, mut left) = (Vec::new(), Vec::new());
        for (name, queue) in &mut self.queues {
            let is_consumed = !queue.consumers.is_empty();
            let QueueKind::Own(own) = &mut queue.kind else {
                continue;
            };
            if own.maker != connection {
                continue;
            }
            own.last_use = now;
            if own.is_exclusive {
                ended.push(Arc::clone(name));
            } else if own.is_auto_delete && !is_consumed {
                if self.unused.kept < self.limits.kept_queues {
                    own.is_left = true;
                    self.unused.kept += 1;
                    left.push(Arc::clone(name));
                } else {
                    ended.push(Arc::clone(name));
                }
            }
        }
        for name in left {
            self.schedule_check(&name, now);
        }
        for name in ended {
            self.remove_queue(&name);
        }
    }
}
