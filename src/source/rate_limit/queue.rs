//! The callers that wait for one operation, in order. Callers of different routes wait in queues of their own.

use super::{
    call::{Due, RouteKey},
    pace::Pace,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

/// One operation: its pace, and its queues of callers.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) pace: Pace,
    /// All but polls wait in one queue. Bounded by the routes that poll or have polled within seconds.
    pub(super) queues: BTreeMap<RouteKey, RouteQueue>,
}

/// The callers of one route.
#[derive(Debug, Default)]
pub(super) struct RouteQueue {
    /// When the last call began.
    pub(super) last: Option<Instant>,
    pub(super) waiting: BTreeMap<Key, Waiter>,
}

/// The order in a queue: by deadline, without a deadline last (`false` sorts before `true`), and then first come, first
/// served.
pub(super) type Key = (bool, Option<Instant>, u64);

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) due: Option<Due>,
    pub(super) wake: Arc<Notify>,
}

impl Operation {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            queues: BTreeMap::new(),
        }
    }

    pub(super) fn queue(&mut self, route: RouteKey) -> &mut RouteQueue {
        self.queues.entry(route).or_default()
    }

    /// Drops the queues in which nobody waits and whose last call began so long ago that it delays no other, as those of routes
    /// that are not there any more.
    pub(super) fn drop_unused(&mut self, now: Instant, delays: Duration) {
        let delays_next = |last: Instant| now.saturating_duration_since(last) < delays;
        self.queues
            .retain(|_, queue| !queue.waiting.is_empty() || queue.last.is_some_and(delays_next));
    }

    /// The first caller of a queue.
    pub(super) fn first_of(&self, route: RouteKey) -> Option<(&Key, &Waiter)> {
        self.queues.get(&route)?.waiting.first_key_value()
    }

    /// The first callers of all queues.
    pub(super) fn firsts(&self) -> impl Iterator<Item = (&RouteQueue, &Key, &Waiter)> {
        self.queues.values().filter_map(|queue| {
            let (key, waiter) = queue.waiting.first_key_value()?;
            Some((queue, key, waiter))
        })
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.values().all(|queue| queue.waiting.is_empty())
    }

    /// The number of waiting callers.
    pub(super) fn len(&self) -> usize {
        self.queues.values().map(|queue| queue.waiting.len()).sum()
    }

    /// Whether the pace lets a call begin.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.pace.next().is_none_or(|next| next <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_dropped_when_nobody_waits_and_its_last_call_delays_no_other() {
        let now = Instant::now();
        let delays = Duration::from_secs(3);
        let mut operation = Operation::new(Pace::new(1.0, now));
        let [unused, recent, waited_for] = [(); 3].map(|()| RouteKey::unique());
        operation.queue(unused).last = Some(now);
        operation.queue(recent).last = Some(now + Duration::from_millis(1));
        let wake = Arc::default();
        let waiter = Waiter { due: None, wake };
        let waiting = &mut operation.queue(waited_for).waiting;
        waiting.insert((true, None, 1), waiter);
        operation.drop_unused(now + delays, delays);
        let left: Vec<_> = operation.queues.keys().copied().collect();
        assert_eq!(left, [recent, waited_for]);
    }
}
