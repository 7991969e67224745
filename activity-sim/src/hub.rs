//! The world behind its one lock: time is put in, answers to held polls are handed on, deadlines are
//! kept, and whoever waits for a change is woken.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, futures::Notified, oneshot};

use crate::{
    activities::Activities,
    calls::Calls,
    clock::{Clock, Micros},
    faults::Faults,
    rates::Arrivals,
    record::{ExecutionRecord, Rates, Summary, TaskRecord},
    registry::Registry,
    throttle::Throttles,
    world::{ExecutionNo, Handout, PollNo, Polled, QueueNo, Rules, TaskNo, World},
};

/// How many records are copied under one hold of the lock.
const RECORDS_AT_ONCE: usize = 500;

/// Everything the server, the admin API and the owner of the simulator share.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) faults: Faults,
    pub(crate) throttles: Throttles,
    pub(crate) calls: Calls,
    arrivals: Arrivals,
    /// Makes this simulator's task tokens its own.
    pub(crate) nonce: u64,
    clock: Clock,
    state: Mutex<State>,
    /// Woken when a deadline is set before the one the timer waits for.
    earlier: Notify,
    changed: Notify,
}

/// Where the answer to a held poll goes.
type Wait = oneshot::Sender<Option<Delivery>>;

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) registry: Registry,
    pub(crate) activities: Activities,
    /// Whom to answer when a held poll ends.
    waits: HashMap<PollNo, Wait>,
    /// What the timer waits for.
    armed: Option<Micros>,
}

/// How a poll begins.
#[derive(Debug)]
pub(crate) enum PollStart {
    Task(Delivery),
    /// The answer comes here: a task, or `None` when the hold is over.
    Held(oneshot::Receiver<Option<Delivery>>),
    TooMany,
}

impl Hub {
    pub(crate) fn new(rules: Rules) -> Arc<Self> {
        Arc::new(Self {
            faults: Faults::default(),
            throttles: Throttles::default(),
            calls: Calls::default(),
            arrivals: Arrivals::default(),
            nonce: rand::random(),
            clock: Clock::start(),
            state: Mutex::new(State {
                world: World::new(rules),
                registry: Registry::default(),
                activities: Activities::default(),
                waits: HashMap::new(),
                armed: None,
            }),
            earlier: Notify::new(),
            changed: Notify::new(),
        })
    }

    /// Carries out what is due, then `act`, then hands on the answers that either produced.
    pub(crate) fn act<R>(self: &Arc<Self>, act: impl FnOnce(&mut State, Micros) -> R) -> R {
        let (result, answers) = {
            let mut state = self.lock();
            let now = self.clock.now();
            state.world.advance(now);
            let result = act(&mut state, now);
            let next = state.world.next_deadline();
            if next.is_some_and(|next| state.armed.is_none_or(|armed| next < armed)) {
                state.armed = next;
                self.earlier.notify_one();
            }
            (result, state.answers())
        };
        // Outside the lock: a delivery that cannot be made takes it again.
        for (wait, handout) in answers {
            let delivery = handout.map(|handout| Delivery::new(self, handout));
            if let Some(wait) = wait {
                // The receiver may have gone; then the delivery is dropped, which notes it.
                drop(wait.send(delivery));
            }
        }
        self.changed();
        result
    }

    /// Looks without changing anything.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.lock())
    }

    /// Begins a poll. Dropping what it returns leaves the poll held: the task it then gets is lost.
    pub(crate) fn poll<E>(
        self: &Arc<Self>,
        place: impl FnOnce(&mut State) -> Result<QueueNo, E>,
        identity: Option<String>,
    ) -> Result<PollStart, E> {
        enum Begun {
            Task(Handout),
            Held(oneshot::Receiver<Option<Delivery>>),
            TooMany,
        }
        let begun = self.act(|state, now| {
            let queue = place(state)?;
            Ok(match state.world.poll(now, queue, identity) {
                Polled::Task(handout) => Begun::Task(handout),
                Polled::TooMany => Begun::TooMany,
                Polled::Held(no) => {
                    let (answer, wait) = oneshot::channel();
                    state.waits.insert(no, answer);
                    Begun::Held(wait)
                }
            })
        })?;
        Ok(match begun {
            Begun::Task(handout) => PollStart::Task(Delivery::new(self, handout)),
            Begun::Held(wait) => PollStart::Held(wait),
            Begun::TooMany => PollStart::TooMany,
        })
    }

    /// Ends polls and tasks when their time is over; for as long as the simulator runs.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        loop {
            let next = self.act(|state, _| {
                state.armed = state.world.next_deadline();
                state.armed
            });
            match next {
                None => self.earlier.notified().await,
                Some(at) => tokio::select! {
                    () = tokio::time::sleep(self.clock.until(at)) => {}
                    () = self.earlier.notified() => {}
                },
            }
        }
    }

    /// Wakes those who wait for a change.
    pub(crate) fn changed(&self) {
        self.changed.notify_waiters();
    }

    /// Becomes ready at the next change after it was first polled or enabled.
    pub(crate) fn next_change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(crate) fn summary(&self, task_list: Option<&str>) -> Summary {
        let summary = self.look(|state| state.world.summary(task_list));
        Summary {
            calls: self.calls.counts(),
            ..summary
        }
    }

    /// Notes that a call of the action has arrived.
    pub(crate) fn arrived(&self, action: &'static str) {
        self.arrivals.count(action, self.clock.now());
        self.changed();
    }

    pub(crate) fn rates(&self, action: &str) -> Rates {
        self.arrivals.rates(action, self.clock.now())
    }

    /// The records that pass `keep`, in order of scheduling. Copied in portions, so that asking
    /// for many does not stop the service; each record is consistent in itself.
    pub(crate) fn records(&self, keep: impl Fn(&TaskRecord) -> bool) -> Vec<TaskRecord> {
        let numbers = self.look(|state| state.world.task_numbers());
        let record = |world: &World, no| world.record(TaskNo(no)).filter(&keep);
        self.in_portions(numbers, record)
    }

    /// The records of all executions of Step Functions, in order of their start.
    pub(crate) fn executions(&self) -> Vec<ExecutionRecord> {
        let places = self.look(|state| state.world.execution_places());
        let record = |world: &World, place| world.execution_record(ExecutionNo(place as usize));
        self.in_portions(places, record)
    }

    fn in_portions<R>(
        &self,
        mut numbers: Range<u64>,
        record: impl Fn(&World, u64) -> Option<R>,
    ) -> Vec<R> {
        let mut records = Vec::new();
        while !numbers.is_empty() {
            let portion = numbers.by_ref().take(RECORDS_AT_ONCE);
            self.look(|state| records.extend(portion.filter_map(|no| record(&state.world, no))));
        }
        records
    }

    /// Forgets tasks, totals, rates, faults and throttles. Domains, types and held polls stay.
    pub(crate) fn reset(self: &Arc<Self>) {
        self.faults.clear();
        self.throttles.clear();
        self.calls.clear();
        self.arrivals.clear();
        self.act(|state, _| state.world.reset());
    }

    /// The time since the simulator's clock began.
    pub(crate) fn uptime(&self) -> Duration {
        self.clock.uptime()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug of its own; the others may still look.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn answers(&mut self) -> Vec<(Option<Wait>, Option<Handout>)> {
        let answers = self.world.take_answers();
        answers
            .into_iter()
            .map(|(poll, handout)| (self.waits.remove(&poll), handout))
            .collect()
    }
}

/// A task on its way to a worker. Dropped before [`Delivery::done`], it is noted as handed to a
/// connection that had gone: the task stays started, as on the real service.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) handout: Handout,
    hub: Option<Arc<Hub>>,
}

impl Delivery {
    fn new(hub: &Arc<Hub>, handout: Handout) -> Self {
        Self {
            handout,
            hub: Some(Arc::clone(hub)),
        }
    }

    /// The answer is on the wire.
    pub(crate) fn done(mut self) {
        self.hub = None;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.take() {
            hub.act(|state, _| state.world.abandon(self.handout.task));
        }
    }
}
