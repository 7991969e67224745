//! The state behind its one lock. The hub gives it the time, passes on the answers to held polls, runs the
//! timer, and wakes the callers that wait for a change.

use std::{
    collections::HashMap,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, futures::Notified, oneshot};

use crate::{
    calls::{CallCounts, CallRates, Faults, Throttles},
    clock::{Clock, Micros},
    conns::Connections,
    record::{ExecutionRecord, Rates, Summary, TaskRecord},
    registry::{Activities, Domains},
    world::{ExecutionNo, Handout, PollNo, Polled, QueueNo, Rules, TaskNo, World},
};

/// Maximum records that are copied while the lock is held once.
const MAX_RECORDS_PER_LOCK: usize = 500;

/// What the server, the admin API and the owner of the simulator share.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) faults: Faults,
    pub(crate) throttles: Throttles,
    pub(crate) calls: CallCounts,
    pub(crate) connections: Connections,
    rates: CallRates,
    /// A random number that makes this simulator's task tokens different from those of others.
    pub(crate) nonce: u64,
    clock: Clock,
    state: Mutex<State>,
    /// Notified when a deadline is set before the one for which the timer waits.
    earlier: Notify,
    changed: Notify,
}

/// The sender of the answer to a held poll.
type Answer = oneshot::Sender<Option<Delivery>>;

/// The state that the lock guards.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) domains: Domains,
    pub(crate) activities: Activities,
    /// The senders for the polls that are held.
    waiting: HashMap<PollNo, Answer>,
    /// The deadline for which the timer waits.
    armed: Option<Micros>,
}

/// The first effect of a poll.
#[derive(Debug)]
pub(crate) enum PollStart {
    Task(Delivery),
    /// The poll is held. The answer comes here: a task, or `None` when the hold is over.
    Waiting(oneshot::Receiver<Option<Delivery>>),
    TooMany,
}

impl Hub {
    pub(crate) fn new(rules: Rules) -> Arc<Self> {
        Arc::new(Self {
            faults: Faults::default(),
            throttles: Throttles::default(),
            calls: CallCounts::default(),
            connections: Connections::default(),
            rates: CallRates::default(),
            nonce: rand::random(),
            clock: Clock::start(),
            state: Mutex::new(State {
                world: World::new(rules),
                domains: Domains::default(),
                activities: Activities::default(),
                waiting: HashMap::new(),
                armed: None,
            }),
            earlier: Notify::new(),
            changed: Notify::new(),
        })
    }

    /// Does what is due, then `act`, then passes on the answers that both produced.
    pub(crate) fn act<R>(self: &Arc<Self>, act: impl FnOnce(&mut State, Micros) -> R) -> R {
        let (result, answers) = {
            let mut state = self.state.lock();
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
        // Outside the lock: a delivery that fails takes the lock again.
        for (answer, handout) in answers {
            let delivery = handout.map(|handout| Delivery::new(self, handout));
            if let Some(answer) = answer {
                // If the receiver is gone, the delivery is dropped, which records an abandoned poll.
                drop(answer.send(delivery));
            }
        }
        self.notify_change();
        result
    }

    /// Reads the state.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.state.lock())
    }

    /// Begins a poll. When the result is dropped, the poll stays held, and the task that it gets is lost.
    pub(crate) fn poll<E>(
        self: &Arc<Self>,
        place: impl FnOnce(&mut State) -> Result<QueueNo, E>,
        identity: Option<String>,
    ) -> Result<PollStart, E> {
        enum Begun {
            Task(Handout),
            Waiting(oneshot::Receiver<Option<Delivery>>),
            TooMany,
        }
        let begun = self.act(|state, now| {
            let queue = place(state)?;
            Ok(match state.world.poll(now, queue, identity) {
                Polled::Task(handout) => Begun::Task(handout),
                Polled::TooMany => Begun::TooMany,
                Polled::Waiting(no) => {
                    let (answer, answered) = oneshot::channel();
                    state.waiting.insert(no, answer);
                    Begun::Waiting(answered)
                }
            })
        })?;
        Ok(match begun {
            Begun::Task(handout) => PollStart::Task(Delivery::new(self, handout)),
            Begun::Waiting(answered) => PollStart::Waiting(answered),
            Begun::TooMany => PollStart::TooMany,
        })
    }

    /// Ends polls and tasks at their time. Runs as long as the simulator.
    pub(crate) async fn run_timer(self: Arc<Self>) {
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

    /// Wakes the callers that wait for a change.
    pub(crate) fn notify_change(&self) {
        self.changed.notify_waiters();
    }

    /// A future that is ready at the next change after it was first polled or enabled.
    pub(crate) fn next_change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(crate) fn summary(&self, task_list: Option<&str>) -> Summary {
        let summary = self.read(|state| state.world.summary(task_list));
        let (connections, max_connections) = self.connections.counts();
        Summary {
            calls: self.calls.counts(),
            connections,
            max_connections,
            ..summary
        }
    }

    /// Counts a call of the action that has arrived.
    pub(crate) fn count_arrival(&self, action: &'static str) {
        self.rates.count(action, self.clock.now());
        self.notify_change();
    }

    pub(crate) fn rates(&self, action: &str) -> Rates {
        self.rates.rates(action, self.clock.now())
    }

    /// The records that pass `filter`, in order of scheduling. They are copied in portions, so that many
    /// records do not block the service. Each record is consistent.
    pub(crate) fn records(&self, filter: impl Fn(&TaskRecord) -> bool) -> Vec<TaskRecord> {
        let numbers = self.read(|state| state.world.task_numbers());
        let record = |world: &World, no| world.record(TaskNo(no)).filter(&filter);
        self.in_portions(numbers, record)
    }

    /// The records of all executions of Step Functions, in order of their start.
    pub(crate) fn executions(&self) -> Vec<ExecutionRecord> {
        let places = self.read(|state| state.world.execution_places());
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
            let portion = numbers.by_ref().take(MAX_RECORDS_PER_LOCK);
            self.read(|state| records.extend(portion.filter_map(|no| record(&state.world, no))));
        }
        records
    }

    /// Removes tasks, totals, rates, faults and throttles. Domains, types and held polls stay.
    pub(crate) fn reset(self: &Arc<Self>) {
        self.faults.clear();
        self.throttles.clear();
        self.calls.clear();
        self.connections.reset();
        self.rates.clear();
        self.act(|state, _| state.world.reset());
    }

    /// The time of the simulator's clock at this instant.
    pub(crate) fn time_at(&self, instant: Instant) -> Micros {
        self.clock.at(instant)
    }

    /// The time since the start of the simulator's clock.
    pub(crate) fn uptime(&self) -> Duration {
        self.clock.uptime()
    }
}

impl State {
    fn answers(&mut self) -> Vec<(Option<Answer>, Option<Handout>)> {
        let answers = self.world.take_answers();
        answers
            .into_iter()
            .map(|(poll, handout)| (self.waiting.remove(&poll), handout))
            .collect()
    }
}

/// A task on its way to a worker. When it is dropped before [`Delivery::done`], its poll is recorded as
/// abandoned. The task stays started, as on the real service.
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

    /// The write of the answer with the task begins as soon as this returns.
    pub(crate) fn begin_answer(&self) {
        if let Some(hub) = &self.hub {
            let mut state = hub.state.lock();
            // Under the lock, so that a wait for it is not counted as a part of the write.
            let now = hub.clock.now();
            state.world.begin_answer(now, self.handout.task);
        }
    }

    /// The answer with the task was written.
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
