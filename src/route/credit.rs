//! The credit of a queue, and what its routes have taken of it: open polls, and tasks on their way to the broker.
//!
//! Credit belongs to a queue, so the routes to one queue share a [`QueueCredit`]. A poll is counted from its beginning.
//! The task that it brings stays counted until the broker has it. From then on the broker counts it, as a message that
//! waits or by less credit. What was observed before that moment no longer holds, and nobody polls until the queue was
//! observed again. So no task is counted twice, and none is missed.

use super::{
    demand::{Demand, Pending},
    poll_settings::MaxReady,
    settings::RouteConfig,
};
use crate::broker::{Destination, Readiness};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
};
use tokio::sync::watch;

/// The credit of each queue that a route uses, by the queue's name.
#[derive(Debug, Default)]
pub struct QueueCredits(HashMap<String, Weak<QueueCredit>>);

impl QueueCredits {
    /// The credit of a destination's queue. A destination without a queue shares with no other.
    fn of(&mut self, destination: &Destination) -> Arc<QueueCredit> {
        let Some(queue) = destination.queue() else {
            return Arc::default();
        };
        self.0.retain(|_, credit| credit.strong_count() > 0);
        let known = self.0.get(&queue.name).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let credit = Arc::default();
            self.0.insert(queue.name.clone(), Arc::downgrade(&credit));
            credit
        })
    }
}

/// The credit of one queue.
#[derive(Debug)]
struct QueueCredit {
    state: Mutex<State>,
    /// Announces that a route may poll more than before.
    more: watch::Sender<()>,
    /// Announces that the queue must be observed again.
    outdated: watch::Sender<()>,
}

impl Default for QueueCredit {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            more: watch::channel(()).0,
            outdated: watch::channel(()).0,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// What each route has taken, by its place.
    pending: BTreeMap<u64, Pending>,
    last_place: u64,
    /// The last observation of a queue whose broker tells credit.
    observed: Option<Observed>,
    /// Number of tasks that the broker has got from these routes.
    handed_over: u64,
}

impl State {
    /// What this route has taken.
    fn pending(&mut self, place: &Place) -> &mut Pending {
        self.pending.entry(place.number).or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct Observed {
    credit: u64,
    ready: u64,
    taken_last_second: u64,
    /// The number of tasks that the broker had got when the observation began.
    handed_over: u64,
}

/// The place of a route in the state of its queue. It is there until the route and its last poll have ended.
#[derive(Debug)]
struct Place {
    queue: Arc<QueueCredit>,
    number: u64,
}

impl Place {
    fn new(queue: Arc<QueueCredit>) -> Self {
        let mut state = queue.state.lock();
        state.last_place += 1;
        let number = state.last_place;
        state.pending.insert(number, Pending::default());
        drop(state);
        Self { queue, number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.state.lock().pending.remove(&self.number);
    }
}

/// A route's view of the credit of its queue.
#[derive(Clone, Debug)]
pub struct RouteCredit {
    place: Arc<Place>,
    max_ready: MaxReady,
    written_min: u64,
}

/// The mark of an observation that has begun.
#[derive(Debug)]
pub struct Observation {
    handed_over: u64,
}

impl RouteCredit {
    /// The view of one more route.
    #[must_use]
    pub fn new(credits: &mut QueueCredits, config: &RouteConfig) -> Self {
        Self::at(Place::new(credits.of(&config.destination)).into(), config)
    }

    /// The view of this route with other settings. With the same queue it has the same place.
    #[must_use]
    pub fn changed(&self, credits: &mut QueueCredits, config: &RouteConfig) -> Self {
        let queue = credits.of(&config.destination);
        let place = match Arc::ptr_eq(&queue, &self.place.queue) {
            true => Arc::clone(&self.place),
            false => Arc::new(Place::new(queue)),
        };
        Self::at(place, config)
    }

    fn at(place: Arc<Place>, config: &RouteConfig) -> Self {
        Self {
            place,
            max_ready: config.max_ready,
            written_min: match config.min_pollers_written {
                true => config.pollers.min as u64,
                false => 0,
            },
        }
    }

    /// Begins an observation, before the broker is asked.
    #[must_use]
    pub fn observe(&self) -> Observation {
        Observation {
            handed_over: self.queue().state.lock().handed_over,
        }
    }

    /// Notes what the broker has told. Returns whether the route may have an open poll.
    pub fn observed(&self, observation: Observation, readiness: &Readiness) -> bool {
        let mut state = self.queue().state.lock();
        let handed_over = observation.handed_over;
        state.observed = readiness.credit.map(|credit| Observed {
            credit,
            ready: readiness.ready,
            taken_last_second: readiness.taken_last_second,
            handed_over,
        });
        let demand = self.demand(&state);
        let has_room = demand.is_none_or(Demand::has_room);
        drop(state);
        if readiness.credit.is_some() {
            self.queue().more.send_replace(());
        }
        has_room
    }

    /// Whether one more poll may begin. Always true where the broker does not tell credit.
    #[must_use]
    pub fn allows_poll(&self) -> bool {
        self.allowed(&self.queue().state.lock())
    }

    /// Counts one more poll, if it may begin.
    #[must_use]
    pub fn begin_poll(&self) -> Option<PollCredit> {
        let mut state = self.queue().state.lock();
        if !self.allowed(&state) {
            return None;
        }
        state.pending(&self.place).polls += 1;
        Some(PollCredit {
            place: Arc::clone(&self.place),
            has_task: false,
        })
    }

    /// Changes when the route may poll more than before.
    #[must_use]
    pub fn more(&self) -> watch::Receiver<()> {
        self.queue().more.subscribe()
    }

    /// Changes when the queue must be observed again.
    #[must_use]
    pub fn outdated(&self) -> watch::Receiver<()> {
        self.queue().outdated.subscribe()
    }

    fn queue(&self) -> &QueueCredit {
        &self.place.queue
    }

    fn allowed(&self, state: &State) -> bool {
        let Some(demand) = self.demand(state) else {
            return true;
        };
        let handed_over = state.observed.map(|observed| observed.handed_over);
        let holds = handed_over == Some(state.handed_over);
        holds && demand.allows_poll()
    }

    /// What a decision depends on; `None` if the broker does not tell credit.
    fn demand(&self, state: &State) -> Option<Demand> {
        let observed = state.observed.as_ref()?;
        let mut of_queue = Pending::default();
        for pending in state.pending.values() {
            of_queue.polls += pending.polls;
            of_queue.tasks += pending.tasks;
        }
        Some(Demand {
            credit: observed.credit,
            ready: observed.ready,
            max_ready: match self.max_ready {
                MaxReady::Auto => observed.taken_last_second,
                MaxReady::Number(number) => number,
            },
            of_queue,
            of_route: state
                .pending
                .get(&self.place.number)
                .copied()
                .unwrap_or_default(),
            written_min: self.written_min,
        })
    }
}

/// One open poll, or the task that it has brought, until the broker has the task.
#[derive(Debug)]
pub struct PollCredit {
    place: Arc<Place>,
    has_task: bool,
}

impl PollCredit {
    /// Notes that the poll has brought a task. Drop this when the broker has the task, or when the task has ended.
    pub fn brought_task(&mut self) {
        let mut state = self.place.queue.state.lock();
        let pending = state.pending(&self.place);
        if !self.has_task {
            pending.polls -= 1;
            pending.tasks += 1;
        }
        self.has_task = true;
    }
}

impl Drop for PollCredit {
    fn drop(&mut self) {
        let queue = &self.place.queue;
        let mut state = queue.state.lock();
        let tells_credit = state.observed.is_some();
        let pending = state.pending(&self.place);
        let news = match self.has_task {
            true => {
                pending.tasks -= 1;
                state.handed_over += 1;
                &queue.outdated
            }
            false => {
                pending.polls -= 1;
                &queue.more
            }
        };
        drop(state);
        // Without credit nobody waits for it, and a broker that is asked over the network is asked once a second.
        if tells_credit {
            news.send_replace(());
        }
    }
}
