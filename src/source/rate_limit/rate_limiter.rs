//! The budget of API calls that an AWS account has in a region, shared by all routes.
//!
//! AWS takes the calls of an account from token buckets: as documented one for each API call, which other
//! processes that we don't see take from as well. So no rate is configured: a call is free until AWS throttles
//! it, and is then paced at a rate that is learnt from the answers (`pace`). Who is paced waits in a *lane*,
//! one for each API call, and the lanes know of each other: a throttle of the whole account is met where it hurts
//! least. Results go first; heartbeats stand back for them as long as no task can be lost by it; polls, which
//! only bring more of both, stand back for all.
//!
//! Nothing runs in the background. The first of each lane sleeps until its moment, and whoever leaves a lane wakes
//! the first of every lane to look again.

use super::pace::{Answer, Pace};
use parking_lot::{Mutex, MutexGuard};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// While heartbeats wait that are not urgent, a poll is begun this often all the same: no route is shut out for good.
const TRICKLE: Duration = Duration::from_secs(1);

/// A heartbeat is urgent at the latest when its deadline is this many times as far as the lane takes to empty.
const RESERVE: u32 = 2;

/// A call to AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A task was completed.
    Complete,
    /// A task failed.
    Fail,
    /// A task was canceled.
    Cancel,
    /// A task is alive.
    Heartbeat(Due),
    /// Is there a task?
    Poll,
    /// What happened in a workflow?
    History,
}

/// When a heartbeat has to be sent. The earlier the deadline, the earlier its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When AWS times the task out; `None`: never, and all others go first.
    pub deadline: Option<Instant>,
    /// From here on it no longer stands back for results, and polls stop for it: when half of the timeout is gone, say.
    pub urgent_from: Instant,
}

impl Due {
    /// Whether more than half of its urgent time is gone.
    fn nearly_late(self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| {
            let urgent_time = deadline.saturating_duration_since(self.urgent_from);
            deadline.saturating_duration_since(now) < urgent_time / 2
        })
    }
}

/// See the module. Everyone who waits is a caller's future; nothing else is kept.
#[derive(Debug)]
pub struct RateLimiter {
    state: Mutex<State>,
}

/// The right to make one call, now. It is kept until the answer is there, however long a poll is held.
#[derive(Debug)]
#[must_use = "the call is to be made, and its answer learnt from"]
pub struct Permit<'a> {
    rate_limiter: &'a RateLimiter,
    call: Call,
    begun: Instant,
    waited: bool,
}

impl Permit<'_> {
    /// Learns from the answer. A turn that is dropped was answered by [`Answer::Other`].
    pub fn done(self, answer: Answer) {
        let mut state = self.rate_limiter.state();
        let pace = &mut state.operations[self.call.operation()].pace;
        pace.observe(answer, self.begun, self.waited, Instant::now());
    }
}

impl RateLimiter {
    /// A budget without limits, until AWS sets some.
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

    /// Waits until the call may be made. There is no wait where AWS does not throttle.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place. One that is kept without being polled holds up those behind it.
    pub async fn acquire(&self, call: Call) -> Permit<'_> {
        let acquire = |begun, waited| Permit {
            rate_limiter: self,
            call,
            begun,
            waited,
        };
        let now = Instant::now();
        let Some(place) = self.begin_or_wait(call, now) else {
            return acquire(now, false);
        };
        loop {
            let now = Instant::now();
            let moment = self.state().begin_first(&place, now);
            match moment {
                Moment::Now => return acquire(now, true),
                Moment::At(moment) => tokio::select! {
                    () = sleep_until(moment) => {}
                    () = place.wake.notified() => {}
                },
                Moment::WhenWoken => place.wake.notified().await,
            }
        }
    }

    /// Begins the call if nobody and nothing is in its way; otherwise takes a place in its lane.
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

/// The lane of the heartbeats; those before it are the results'.
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
    /// How many ever had to wait.
    arrivals: u64,
}

/// One API call: its pace, and those who wait for it in the order of their turns.
#[derive(Debug)]
struct Operation {
    pace: Pace,
    /// When one last began.
    last: Instant,
    waiting: BTreeMap<Key, Waiter>,
}

/// By deadline, those without one last (`false` sorts before `true`), and then first come, first served.
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
    /// When somebody else is out of the way.
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

    /// Begins the call of the first in a lane, if its moment has come.
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

    /// Begins a call, if its moment has come.
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

    /// When the call may begin, as things are now; `None`: not before others have gone.
    fn opens_at(&self, call: Call, now: Instant) -> Option<Instant> {
        let operation = &self.operations[call.operation()];
        let limit = operation.pace.next();
        let paced = limit.unwrap_or(now);
        match call {
            Call::Complete | Call::Fail | Call::Cancel => Some(paced),
            // Heartbeats that are not throttled take nothing from the results: there is a bucket for each.
            Call::Heartbeat(due) if limit.is_some() && self.results_wait() => {
                Some(paced.max(self.urgent_from(due)))
            }
            Call::Heartbeat(_) | Call::History => Some(paced),
            Call::Poll if self.results_wait() => None,
            Call::Poll => match self.first_beat() {
                None => Some(paced),
                Some(due) if self.urgent_from(due) <= now => None,
                Some(_) => Some(paced.max(operation.last + TRICKLE)),
            },
        }
    }

    fn results_wait(&self) -> bool {
        let results = &self.operations[..HEARTBEATS];
        results
            .iter()
            .any(|operation| !operation.waiting.is_empty())
    }

    /// From when on a heartbeat is urgent: from when it says, or earlier, if so many wait that it would be late.
    fn urgent_from(&self, due: Due) -> Instant {
        let operation = &self.operations[HEARTBEATS];
        let reserve = operation.pace.time_for(operation.waiting.len()) * RESERVE;
        let latest = due.deadline.and_then(|at| at.checked_sub(reserve));
        latest.map_or(due.urgent_from, |latest| latest.min(due.urgent_from))
    }

    /// How many steps of its pace a call takes: results go at half their pace while a heartbeat is nearly late, so
    /// that a throttle of the whole account leaves room for it.
    fn steps(&self, call: Call, now: Instant) -> u32 {
        let late = self.first_beat().is_some_and(|due| due.nearly_late(now));
        if call.is_result() && late { 2 } else { 1 }
    }

    /// The first heartbeat that waits.
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

/// A place in a lane, given up by being dropped.
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
