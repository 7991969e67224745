//! Which caller gets the next permit. Pure but for the wake-ups: it has no clock and does not wait.

use super::{
    call::{Call, Due, HEARTBEATS, OPERATIONS, RouteKey},
    pace::Pace,
    queue::{Key, Operation, RouteQueue, Waiter},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

/// Maximum concurrent calls to one service, polls excluded. Each has a connection of its own, with TLS. SWF lets an account
/// make 160 heartbeats and 200 calls of each kind of result in a second. With this many calls, a service that takes half a
/// second for each still answers 512 in a second. Without a maximum, a backlog of results would open a connection for each.
pub(super) const MAX_CONCURRENT_CALLS: usize = 256;

/// Number of concurrent heartbeats up to which an urgent heartbeat goes before results. Without them, a service that is slow
/// with results would cost tasks their heartbeats.
const HEARTBEATS_BEFORE_RESULTS: usize = MAX_CONCURRENT_CALLS / 4;

/// Minimum rate of each kind of result after a throttle, in calls per second. AWS lets an account make 200 and more.
const MIN_RESULT_RATE: f64 = 10.0;

/// Minimum rate of any other call after a throttle. There is always a next call to learn from.
const MIN_RATE: f64 = 1.0;

/// Interval of the polls of a route while heartbeats wait that are not urgent. Without it a route might never poll again.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Interval of the polls of a route while urgent heartbeats wait, or results that AWS does not throttle. AWS has a bucket for
/// each operation, so these calls take nothing from polls. But a poll brings more of them.
const SLOW_POLL_INTERVAL: Duration = Duration::from_secs(3);

/// A heartbeat becomes urgent when the time to its deadline is this many times the time that the queue of heartbeats needs.
const URGENT_FACTOR: u32 = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Grants {
    pub(super) operations: [Operation; OPERATIONS],
    /// The number of calls under way, polls excluded.
    calls: usize,
    /// The number of heartbeats among them.
    heartbeats: usize,
    /// The number of callers that ever joined a queue. It orders those with equal deadlines.
    arrivals: u64,
    began: Instant,
}

/// When a call may begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Now,
    At(Instant),
    /// After another caller has left its queue, or after a call has ended.
    WhenWoken,
}

/// How often a route may poll.
enum Polling {
    /// As often as it likes, or once in this interval.
    Each(Duration),
    /// Not at all for now.
    Stopped,
}

impl Grants {
    pub(super) fn new(now: Instant) -> Self {
        let operation = |index| {
            let min_rate = match index < HEARTBEATS {
                true => MIN_RESULT_RATE,
                false => MIN_RATE,
            };
            Operation::new(Pace::new(min_rate, now))
        };
        Self {
            operations: std::array::from_fn(operation),
            calls: 0,
            heartbeats: 0,
            arrivals: 0,
            began: now,
        }
    }

    /// Puts a caller into its queue.
    pub(super) fn join(&mut self, call: Call, deadline: Option<Instant>, wake: Arc<Notify>) -> Key {
        self.arrivals += 1;
        let key = (deadline.is_none(), deadline, self.arrivals);
        let due = call.due();
        let queue = self.operations[call.operation()].queue(call.route());
        queue.waiting.insert(key, Waiter { due, wake });
        key
    }

    /// Takes a caller out of its queue.
    pub(super) fn leave(&mut self, call: Call, key: &Key) {
        let queue = self.operations[call.operation()].queue(call.route());
        queue.waiting.remove(key);
        self.wake_firsts();
    }

    /// Begins a call whose caller waits in no queue, if nobody is before it and its time has come.
    pub(super) fn begin_at_once(
        &mut self,
        call: Call,
        deadline: Option<Instant>,
        now: Instant,
    ) -> bool {
        let operation = &self.operations[call.operation()];
        if operation.first_of(call.route()).is_some() {
            return false;
        }
        let key = (deadline.is_none(), deadline, u64::MAX);
        self.begin(call, &key, false, now) == Moment::Now
    }

    /// Begins the call of a waiting caller if it is the first of its queue and its time has come.
    pub(super) fn begin_first(&mut self, call: Call, key: &Key, now: Instant) -> Moment {
        let first = self.operations[call.operation()].first_of(call.route());
        match first.is_some_and(|(first, _)| first == key) {
            true => self.begin(call, key, true, now),
            false => Moment::WhenWoken,
        }
    }

    fn begin(&mut self, call: Call, key: &Key, waited: bool, now: Instant) -> Moment {
        let moment = match self.opens_at(call, key, now) {
            Some(at) if at > now => Moment::At(at),
            Some(_) => Moment::Now,
            None => Moment::WhenWoken,
        };
        if moment == Moment::Now {
            let steps = self.steps(call, now);
            let operation = &mut self.operations[call.operation()];
            if operation.queue(call.route()).last.replace(now).is_none() {
                operation.drop_unused(now, SLOW_POLL_INTERVAL);
            }
            operation.pace.begin(steps, waited, now);
            self.calls += usize::from(!call.is_poll());
            self.heartbeats += usize::from(call.due().is_some());
        }
        moment
    }

    /// The pace of a call's operation.
    pub(super) fn pace(&mut self, call: Call) -> &mut Pace {
        &mut self.operations[call.operation()].pace
    }

    /// Notes the end of a call.
    pub(super) fn end(&mut self, call: Call) {
        if call.is_poll() {
            return;
        }
        self.calls -= 1;
        self.heartbeats -= usize::from(call.due().is_some());
        self.wake_firsts();
    }

    /// When the call may begin as things are now; `None` if another caller or a call under way must go first.
    fn opens_at(&self, call: Call, key: &Key, now: Instant) -> Option<Instant> {
        let operation = &self.operations[call.operation()];
        let limit = operation.pace.next();
        let paced = limit.unwrap_or(now);
        if let Call::Poll(route) = call {
            return self.poll_opens_at(route, key, now);
        }
        let room = MAX_CONCURRENT_CALLS.saturating_sub(self.calls);
        if room == 0 {
            return None;
        }
        match call {
            Call::Complete | Call::Fail | Call::Cancel => {
                let for_beat = usize::from(self.urgent_beat_goes_first(now));
                let earlier = self.first_result(now).is_some_and(|first| first < key);
                (room > for_beat && !earlier).then_some(paced)
            }
            Call::Heartbeat(due) => {
                let urgent_from = self.urgent_from(due);
                let goes_first = self.heartbeats < HEARTBEATS_BEFORE_RESULTS && urgent_from <= now;
                match self.results_wait() {
                    // Heartbeats that are not throttled take nothing from results: AWS has a bucket for each operation.
                    true if limit.is_some() => Some(paced.max(urgent_from)),
                    true if !goes_first && self.first_result(now).is_some() => None,
                    true | false => Some(paced),
                }
            }
            Call::History => {
                let first_beat = self.first_beat().is_some_and(|_| self.beats_are_ready(now));
                (!first_beat && self.first_result(now).is_none()).then_some(paced)
            }
            Call::Poll(_) => unreachable!("see above"),
        }
    }

    fn poll_opens_at(&self, route: RouteKey, key: &Key, now: Instant) -> Option<Instant> {
        let Polling::Each(interval) = self.polling(now) else {
            return None;
        };
        let operation = &self.operations[Call::Poll(route).operation()];
        let after = |last: Option<Instant>| match interval.is_zero() {
            true => now,
            false => last.unwrap_or(self.began) + interval,
        };
        let limit = operation.pace.next();
        // Routes whose own interval has not passed let others go first.
        let earlier = |(queue, first, _): (&RouteQueue, &Key, &Waiter)| {
            first < key && after(queue.last) <= now
        };
        if limit.is_some() && operation.firsts().any(earlier) {
            return None;
        }
        let last = operation.queues.get(&route).and_then(|queue| queue.last);
        Some(limit.unwrap_or(now).max(after(last)))
    }

    fn polling(&self, now: Instant) -> Polling {
        let results = &self.operations[..HEARTBEATS];
        let throttled =
            |operation: &Operation| !operation.is_empty() && operation.pace.next().is_some();
        if results.iter().any(throttled) {
            return Polling::Stopped;
        }
        Polling::Each(match self.first_beat() {
            Some(due) if self.urgent_from(due) <= now => SLOW_POLL_INTERVAL,
            _ if self.results_wait() => SLOW_POLL_INTERVAL,
            Some(_) => POLL_INTERVAL,
            None => Duration::ZERO,
        })
    }

    fn results_wait(&self) -> bool {
        let results = &self.operations[..HEARTBEATS];
        results.iter().any(|operation| !operation.is_empty())
    }

    /// The first result that waits only for the end of another call.
    fn first_result(&self, now: Instant) -> Option<&Key> {
        let results = self.operations[..HEARTBEATS].iter();
        let ready = results.filter(|operation| operation.is_ready(now));
        ready
            .filter_map(|operation| operation.firsts().map(|(_, key, _)| key).min())
            .min()
    }

    fn beats_are_ready(&self, now: Instant) -> bool {
        self.operations[HEARTBEATS].is_ready(now)
    }

    /// Whether a heartbeat waits only for the end of another call, and goes before results.
    fn urgent_beat_goes_first(&self, now: Instant) -> bool {
        self.heartbeats < HEARTBEATS_BEFORE_RESULTS
            && self.beats_are_ready(now)
            && self
                .first_beat()
                .is_some_and(|due| self.urgent_from(due) <= now)
    }

    /// When a heartbeat becomes urgent: at its own time, or earlier if so many heartbeats wait that it would be late.
    fn urgent_from(&self, due: Due) -> Instant {
        let operation = &self.operations[HEARTBEATS];
        let emptying = operation.pace.time_for(operation.len()) * URGENT_FACTOR;
        let latest = due.deadline.and_then(|at| at.checked_sub(emptying));
        latest.map_or(due.urgent_from, |latest| latest.min(due.urgent_from))
    }

    /// How many intervals of its pace a call uses. Results use two while a heartbeat is nearly late. If AWS throttles the
    /// whole account, that leaves room for the heartbeat.
    fn steps(&self, call: Call, now: Instant) -> u32 {
        let late = self.first_beat().is_some_and(|due| due.nearly_late(now));
        if call.is_result() && late { 2 } else { 1 }
    }

    /// The first heartbeat in the queue.
    fn first_beat(&self) -> Option<Due> {
        let (_, first) = self.operations[HEARTBEATS].first_of(RouteKey::NONE)?;
        first.due
    }

    fn wake_firsts(&self) {
        for operation in &self.operations {
            for (_, _, first) in operation.firsts() {
                first.wake.notify_one();
            }
        }
    }
}
