//! The table of flights: every task of ours that AWS has not settled, and the ids of those that ended lately.
//!
//! It holds what must not be held twice (the slot, the reply that waits for its acknowledgement), asks
//! [`lifecycle::step`] what each event means, and keeps the pulses in the order in which they are due. It never talks to
//! the network.

use super::{
    heartbeat_schedule::{HeartbeatSchedule, Terms},
    lifecycle::{self, Command, Event, State},
};
use crate::{
    broker::Receipt,
    route::{Route, Slot},
    task::{Task, TaskId, TaskToken, Timeouts},
    trace::Span,
};
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::SystemTime,
};
use tokio::{sync::Notify, time::Instant};

/// A task in flight.
#[derive(Debug)]
pub struct InflightTask {
    /// The route that polled it.
    pub route: Arc<Route>,
    /// When it was polled, for the histogram.
    pub since: Instant,
    /// The reply that ended it, to be acknowledged when AWS has it; `None` where the bridge ended it itself.
    pub held: Option<Receipt>,
    /// Its span, from the poll to here.
    pub span: Span,
    pub(super) state: State,
    pub(super) token: TaskToken,
    pub(super) polled_at: SystemTime,
    pub(super) timeouts: Timeouts,
    pub(super) schedule: HeartbeatSchedule,
    /// Its entry in the table's order of what is due.
    pub(super) due: Option<Instant>,
    pub(super) cancel_requested: bool,
    /// AWS said, while the task was being settled, that the token is dead.
    pub(super) gone: bool,
    /// Whether the store has it.
    pub(super) recorded: bool,
    /// Dropped with the flight, which frees the slot.
    pub(super) _slot: Slot,
}

/// What a settlement or a heartbeat needs to know of a flight.
#[derive(Clone, Debug)]
pub struct TaskHandle {
    /// The task.
    pub id: TaskId,
    /// Its route.
    pub route: Arc<Route>,
    /// Its token.
    pub token: TaskToken,
    /// Its span.
    pub span: Span,
    /// When AWS gives up on it, if that is known.
    pub deadline: Option<SystemTime>,
    /// Whether AWS is known to want it canceled.
    pub cancel_requested: bool,
}

/// What a final reply met.
#[derive(Debug)]
pub enum FinalReply {
    /// An open task, which is to be settled now. The reply is held until that is done.
    Settle(TaskHandle),
    /// A settlement under way. This reply is held now; the one that was, if any, may be acknowledged.
    Superseded(Option<Receipt>),
    /// A task that has ended; the reply may be acknowledged.
    Late(Receipt),
}

/// Whether a task is one of ours.
#[derive(Clone, Debug)]
pub enum Standing {
    /// In flight.
    Open(Arc<Route>),
    /// Ended not long ago.
    Ended,
    /// Not one of ours, or ended long ago.
    Unknown,
}

/// See the module. All parts are bounded: the open ones by the slots, the ended ones by `remember`.
#[derive(Debug)]
pub struct InflightTable {
    table: Mutex<Table>,
    /// Told when something is due sooner than all else.
    pub(super) sooner: Notify,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(super) open: HashMap<TaskId, InflightTask>,
    /// When each open flight is due, but for those that are being seen to.
    pub(super) due: BTreeSet<(Instant, TaskId)>,
    /// Tasks that ended by a worker's reply. If another comes, it comes soon.
    pub(super) replied: Memory,
    /// Tasks that ended without one, which may come much later.
    pub(super) silent: Memory,
}

/// The newest so many ids.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(super) ids: HashSet<TaskId>,
    pub(super) in_order: VecDeque<TaskId>,
    pub(super) most: usize,
}

impl InflightTable {
    /// An empty table that remembers the last `remember` tasks that ended by a reply, and as many that ended without.
    #[must_use]
    pub fn new(remember: usize) -> Self {
        Self {
            table: Mutex::new(Table {
                open: HashMap::new(),
                due: BTreeSet::new(),
                replied: Memory::of(remember),
                silent: Memory::of(remember),
            }),
            sooner: Notify::new(),
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    /// Enters a task that was just polled.
    pub fn enter(&self, task: &Task, route: Arc<Route>, slot: Slot, span: Span) {
        let terms = Terms::new(&route.config.heartbeat, task.timeouts.heartbeat);
        let now = Instant::now();
        let entry = InflightTask {
            route,
            since: now,
            held: None,
            span,
            state: State::Publishing,
            token: task.token.clone(),
            polled_at: task.polled_at,
            timeouts: task.timeouts,
            schedule: HeartbeatSchedule::new(terms, now, rand::random()),
            due: None,
            cancel_requested: false,
            gone: false,
            recorded: false,
            _slot: slot,
        };
        let mut table = self.table();
        table.open.insert(task.id, entry);
        self.reschedule(table, task.id);
    }

    /// Takes note of what the broker did with a task's message; says whether to publish it again.
    pub fn on_publish(&self, id: TaskId, event: Event) -> Command {
        self.table().step(id, event)
    }

    /// The store has the task. True where its message is now to be brought to the broker.
    pub fn on_recorded(&self, id: TaskId) -> bool {
        if let Some(entry) = self.table().open.get_mut(&id) {
            entry.recorded = true;
        }
        self.awaits_publish(id)
    }

    /// Whether the task's message is still to be brought to the broker.
    pub fn awaits_publish(&self, id: TaskId) -> bool {
        let table = self.table();
        let state = table.open.get(&id).map(|entry| entry.state);
        matches!(state, Some(State::Publishing))
    }

    /// No queue takes a message whose publish was confirmed. A handle means that the task must be failed back to AWS.
    pub fn on_returned(&self, id: TaskId) -> Option<TaskHandle> {
        self.settles(id, Event::Returned)
    }

    /// The bridge ends the task itself; `None` where that is no longer its to do.
    pub fn give_up(&self, id: TaskId) -> Option<TaskHandle> {
        self.settles(id, Event::GiveUp)
    }

    /// The bridge ends a task that nobody has started; `None` where somebody has meanwhile.
    pub fn give_up_unstarted(&self, id: TaskId) -> Option<TaskHandle> {
        let table = self.table();
        let started = |entry: &InflightTask| entry.schedule.has_begun();
        match table.open.get(&id).is_some_and(started) {
            true => None,
            false => self.settle_in(table, id, Event::GiveUp),
        }
    }

    fn settles(&self, id: TaskId, event: Event) -> Option<TaskHandle> {
        self.settle_in(self.table(), id, event)
    }

    fn settle_in(
        &self,
        mut table: MutexGuard<'_, Table>,
        id: TaskId,
        event: Event,
    ) -> Option<TaskHandle> {
        if table.step(id, event) != Command::Settle {
            return None;
        }
        let handle = table.handle(id);
        self.reschedule(table, id);
        handle
    }

    /// Whether the task is one of ours.
    pub fn standing(&self, id: TaskId) -> Standing {
        let table = self.table();
        match table.open.get(&id) {
            Some(entry) => Standing::Open(Arc::clone(&entry.route)),
            None if table.has_ended(id) => Standing::Ended,
            None => Standing::Unknown,
        }
    }

    /// A reply that ends the task.
    pub fn on_final_reply(&self, id: TaskId, receipt: Receipt) -> FinalReply {
        let mut table = self.table();
        let command = table.step(id, Event::FinalReply);
        let Some(entry) = table.open.get_mut(&id) else {
            return FinalReply::Late(receipt);
        };
        match command {
            Command::Settle => {
                entry.held = Some(receipt);
                let handle = entry.handle(id);
                self.reschedule(table, id);
                FinalReply::Settle(handle)
            }
            Command::Hold => FinalReply::Superseded(entry.held.replace(receipt)),
            Command::Nothing
            | Command::PublishAgain
            | Command::Heartbeat
            | Command::AnnounceGone
            | Command::CleanUp => FinalReply::Late(receipt),
        }
    }

    /// AWS says that the token is dead. The flight is returned where the worker is to be told.
    pub fn on_gone(&self, id: TaskId) -> Option<InflightTask> {
        let mut table = self.table();
        if table.step(id, Event::Gone) == Command::AnnounceGone {
            return table.end(id);
        }
        if let Some(entry) = table.open.get_mut(&id) {
            entry.gone = true;
        }
        None
    }

    /// Whether AWS said, while the task was being settled, that the token is dead.
    #[must_use]
    pub fn is_gone(&self, id: TaskId) -> bool {
        self.table().open.get(&id).is_some_and(|entry| entry.gone)
    }

    /// The settlement is over.
    pub fn on_settled(&self, id: TaskId) -> Option<InflightTask> {
        let mut table = self.table();
        (table.step(id, Event::Settled) == Command::CleanUp)
            .then(|| table.end(id))
            .flatten()
    }

    /// The ids of all tasks in flight.
    #[must_use]
    pub fn ids(&self) -> Vec<TaskId> {
        self.table().open.keys().copied().collect()
    }

    /// The ids of those that the store does not have.
    #[must_use]
    pub fn unpersisted(&self) -> Vec<TaskId> {
        let table = self.table();
        let unpersisted = table.open.iter().filter(|(_, entry)| !entry.recorded);
        unpersisted.map(|(id, _)| *id).collect()
    }

    /// How many tasks are in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table().open.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl InflightTask {
    pub(super) fn handle(&self, id: TaskId) -> TaskHandle {
        TaskHandle {
            id,
            route: Arc::clone(&self.route),
            token: self.token.clone(),
            span: self.span.clone(),
            deadline: deadline(self.polled_at, self.timeouts),
            cancel_requested: self.cancel_requested,
        }
    }
}

/// When AWS gives up on a task, where that is certain.
fn deadline(polled_at: SystemTime, timeouts: Timeouts) -> Option<SystemTime> {
    polled_at.checked_add(timeouts.start_to_close.certain()?)
}

impl Memory {
    fn of(most: usize) -> Self {
        Self {
            ids: HashSet::new(),
            in_order: VecDeque::new(),
            most,
        }
    }

    pub(super) fn add(&mut self, id: TaskId) {
        if !self.ids.insert(id) {
            return;
        }
        if self.in_order.len() >= self.most
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.in_order.push_back(id);
    }
}

impl Table {
    /// A task that is not in the table has ended.
    pub(super) fn step(&mut self, id: TaskId, event: Event) -> Command {
        let Some(entry) = self.open.get_mut(&id) else {
            return lifecycle::step(State::Ended, event).1;
        };
        let (state, command) = lifecycle::step(entry.state, event);
        if state == State::Settling && entry.state != State::Settling {
            entry.schedule.over(Instant::now());
        }
        entry.state = state;
        command
    }

    fn handle(&self, id: TaskId) -> Option<TaskHandle> {
        self.open.get(&id).map(|entry| entry.handle(id))
    }

    fn has_ended(&self, id: TaskId) -> bool {
        self.replied.ids.contains(&id) || self.silent.ids.contains(&id)
    }

    fn end(&mut self, id: TaskId) -> Option<InflightTask> {
        let entry = self.take(id)?;
        match entry.held {
            Some(_) => self.replied.add(id),
            None => self.silent.add(id),
        }
        Some(entry)
    }

    pub(super) fn take(&mut self, id: TaskId) -> Option<InflightTask> {
        let entry = self.open.remove(&id)?;
        if let Some(at) = entry.due {
            self.due.remove(&(at, id));
        }
        Some(entry)
    }
}
