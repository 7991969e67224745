//! The rate limiter of the API calls that an AWS account makes in a region. All routes of one service share it.
//!
//! AWS limits the calls of an account with token buckets. As documented there is one for each operation (API call). Other
//! processes of the account, which the bridge can't see, use the same buckets. Therefore no rate is configured. An operation
//! is not limited until AWS throttles it. Then it is limited to a rate that is learnt from AWS's answers (`pace`).
//!
//! Callers of a limited operation wait in the queue of that operation. The queues depend on each other, because AWS may
//! throttle the whole account:
//!
//! 1. Results go first.
//! 2. Heartbeats wait for results for as long as no task can time out by it.
//! 3. Polls wait for results and for urgent heartbeats, because a poll only adds more of both.
//!
//! No task runs in the background. The first caller in each queue sleeps until its time. A caller that leaves a queue wakes
//! the first caller of every queue, which then computes its time again.

use super::pace::{Answer, Pace};
use parking_lot::{Mutex, MutexGuard};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// Interval of polls while heartbeats wait that are not urgent. Without it a route might never poll again.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A heartbeat becomes urgent when the time to its deadline is this many times the time that the queue of heartbeats needs.
const URGENT_FACTOR: u32 = 2;

/// A call to AWS that needs a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Sends the result of a completed task.
    Complete,
    /// Sends the failure of a task.
    Fail,
    /// Sends that a task was canceled.
    Cancel,
    /// Sends a heartbeat of a task.
    Heartbeat(Due),
    /// Polls for a task.
    Poll,
    /// Reads the history of a workflow.
    History,
}

/// When a heartbeat has to be sent. Heartbeats with an earlier deadline get their permits earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When AWS times the task out; `None` if never. Heartbeats without a deadline go last.
    pub deadline: Option<Instant>,
    /// From this time on the heartbeat no longer waits for results, and polls wait for it. Usually half of the timeout has
    /// passed by then.
    pub urgent_from: Instant,
}

impl Due {
    /// Whether more than half of the time from `urgent_from` to the deadline has passed.
    fn nearly_late(self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| {
            let urgent_time = deadline.saturating_duration_since(self.urgent_from);
            deadline.saturating_duration_since(now) < urgent_time / 2
        })
    }
}

/// See the module. The queues contain only the futures of callers, so the callers bound their length.
#[derive(Debug)]
pub struct RateLimiter {
    state: Mutex<State>,
}

/// The right to make one call now. The caller holds it until AWS has answered, even if AWS holds a poll for a minute.
#[derive(Debug)]
#[must_use = "make the call, and report its answer with `done`"]
pub struct Permit<'a> {
    rate_limiter: &'a RateLimiter,
    call: Call,
    begun: Instant,
    waited: bool,
}

impl Permit<'_> {
    /// Reports the answer. A permit that is dropped counts as [`Answer::Other`].
    pub fn done(self, answer: Answer) {
        let mut state = self.rate_limiter.state();
        let pace = &mut state.operations[self.call.operation()].pace;
        pace.observe(answer, self.begun, self.waited, Instant::now());
    }
}

impl RateLimiter {
    /// A rate limiter without limits. AWS's answers set them.
    #[must_use]
    pub fn new() -> Self {
        let now = Instant::now();
        let operation = || Operation {
            pace: Pace::new(now),
            last: now,
            waiting: BTreeMap::new(),
        };
        let state = State {
            operations: [(); 6].map(|()| operation()),
            arrivals: 0,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits until the call may be made. There is no wait if AWS does not throttle.
    ///
    /// # Cancel safety
    ///
    /// A dropped future gives up its place in the queue. A future that is kept and not polled delays the callers behind it.
    pub async fn acquire(&self, call: Call) -> Permit<'_> {
        let permit = |begun, waited| Permit {
            rate_limiter: self,
            call,
            begun,
            waited,
        };
        let now = Instant::now();
        let Some(place) = self.begin_or_wait(call, now) else {
            return permit(now, false);
        };
        loop {
            let now = Instant::now();
            let moment = self.state().begin_first(&place, now);
            match moment {
                Moment::Now => return permit(now, true),
                Moment::At(moment) => tokio::select! {
                    () = sleep_until(moment) => {}
                    () = place.wake.notified() => {}
                },
                Moment::WhenWoken => place.wake.notified().await,
            }
        }
    }

    /// Begins the call if no limit and no other caller is in its way. Otherwise joins the queue of its operation.
    fn begin_or_wait(&self, call: Call, now: Instant) -> Option<Place<'_>> {
        let mut state = self.state();
        if state.operations[call.operation()].waiting.is_empty()
            && state.begin(call, false, now) == Moment::Now
        {
            return None;
        }
        let wake = Arc::new(Notify::new());
        let key = state.join(call, Arc::clone(&wake));
        Some(Place {
            rate_limiter: self,
            call,
            key,
            wake,
        })
    }
}

impl Default for RateLimiter {
    fn default() -> Self {
        Self::new()
    }
}

/// The index of the heartbeats' operation. The operations before it are those of results.
const HEARTBEATS: usize = 3;

impl Call {
    fn operation(self) -> usize {
        match self {
            Self::Complete => 0,
            Self::Fail => 1,
            Self::Cancel => 2,
            Self::Heartbeat(_) => HEARTBEATS,
            Self::Poll => 4,
            Self::History => 5,
        }
    }

    fn is_result(self) -> bool {
        self.operation() < HEARTBEATS
    }

    fn due(self) -> Option<Due> {
        match self {
            Self::Heartbeat(due) => Some(due),
            Self::Complete | Self::Fail | Self::Cancel | Self::Poll | Self::History => None,
        }
    }
}

#[derive(Debug)]
struct State {
    operations: [Operation; 6],
    /// The number of callers that ever joined a queue. It orders those with equal deadlines.
    arrivals: u64,
}

/// One operation: its pace, and its queue of callers in order.
#[derive(Debug)]
struct Operation {
    pace: Pace,
    /// When the last call began.
    last: Instant,
    waiting: BTreeMap<Key, Waiter>,
}

/// The order in a queue: by deadline, without a deadline last (`false` sorts before `true`), and then first come, first
/// served.
type Key = (bool, Option<Instant>, u64);

#[derive(Debug)]
struct Waiter {
    due: Option<Due>,
    wake: Arc<Notify>,
}

/// When a call may begin.
#[derive(Debug, PartialEq, Eq)]
enum Moment {
    Now,
    At(Instant),
    /// After another caller has left its queue.
    WhenWoken,
}

impl State {
    fn join(&mut self, call: Call, wake: Arc<Notify>) -> Key {
        let due = call.due();
        let deadline = due.and_then(|due| due.deadline);
        self.arrivals += 1;
        let key = (deadline.is_none(), deadline, self.arrivals);
        let waiting = &mut self.operations[call.operation()].waiting;
        waiting.insert(key, Waiter { due, wake });
        key
    }

    /// Begins the call if its caller is the first in the queue and the time has come.
    fn begin_first(&mut self, place: &Place<'_>, now: Instant) -> Moment {
        let first = self.operations[place.call.operation()]
            .waiting
            .first_key_value();
        if first.is_some_and(|(first, _)| *first == place.key) {
            self.begin(place.call, true, now)
        } else {
            Moment::WhenWoken
        }
    }

    /// Begins a call if its time has come.
    fn begin(&mut self, call: Call, waited: bool, now: Instant) -> Moment {
        let moment = match self.opens_at(call, now) {
            Some(at) if at > now => Moment::At(at),
            Some(_) => Moment::Now,
            None => Moment::WhenWoken,
        };
        if moment == Moment::Now {
            let steps = self.steps(call, now);
            let operation = &mut self.operations[call.operation()];
            operation.last = now;
            operation.pace.begin(steps, waited, now);
        }
        moment
    }

    /// When the call may begin as things are now; `None` if another caller must go first.
    fn opens_at(&self, call: Call, now: Instant) -> Option<Instant> {
        let operation = &self.operations[call.operation()];
        let limit = operation.pace.next();
        let paced = limit.unwrap_or(now);
        match call {
            Call::Complete | Call::Fail | Call::Cancel => Some(paced),
            // Heartbeats that are not throttled take nothing from results: AWS has a bucket for each operation.
            Call::Heartbeat(due) if limit.is_some() && self.results_wait() => {
                Some(paced.max(self.urgent_from(due)))
            }
            Call::Heartbeat(_) | Call::History => Some(paced),
            Call::Poll if self.results_wait() => None,
            Call::Poll => match self.first_beat() {
                None => Some(paced),
                Some(due) if self.urgent_from(due) <= now => None,
                Some(_) => Some(paced.max(operation.last + POLL_INTERVAL)),
            },
        }
    }

    fn results_wait(&self) -> bool {
        let results = &self.operations[..HEARTBEATS];
        results
            .iter()
            .any(|operation| !operation.waiting.is_empty())
    }

    /// When a heartbeat becomes urgent: at its own time, or earlier if so many heartbeats wait that it would be late.
    fn urgent_from(&self, due: Due) -> Instant {
        let operation = &self.operations[HEARTBEATS];
        let emptying = operation.pace.time_for(operation.waiting.len()) * URGENT_FACTOR;
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
        let (_, first) = self.operations[HEARTBEATS].waiting.first_key_value()?;
        first.due
    }

    fn wake_firsts(&self) {
        for operation in &self.operations {
            if let Some((_, first)) = operation.waiting.first_key_value() {
                first.wake.notify_one();
            }
        }
    }
}

/// A place in a queue. Its drop gives the place up.
struct Place<'a> {
    rate_limiter: &'a RateLimiter,
    call: Call,
    key: Key,
    wake: Arc<Notify>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.rate_limiter.state();
        state.operations[self.call.operation()]
            .waiting
            .remove(&self.key);
        state.wake_firsts();
    }
}

#[cfg(test)]
mod tests;
