//! The table of tasks in flight: every task of this process that is not settled, and the ids of those that ended lately.
//!
//! The table owns what must exist once: the slot of a task, and the reply that waits for its acknowledgement. It asks
//! [`lifecycle::step`] what each event means. It keeps the heartbeat schedules in the order in which they are due. It does
//! no I/O.

use super::{
    heartbeat_schedule::{HeartbeatSchedule, Terms},
    leg_clock::LegClock,
    lifecycle::{self, Command, Event, State},
    tally::LastTallies,
};
use crate::{
    broker::Receipt,
    route::{Route, Slot},
    task::{Outcome, Task, TaskId, TaskToken, Timeouts},
    trace::{LegSpan, Span},
    util::log_traces::LogTrace,
};
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::SystemTime,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// A task in flight: the entry of the table.
#[derive(Debug)]
pub struct InflightTask {
    /// The route that polled the task.
    pub route: Arc<Route>,
    /// When the task was polled.
    pub since: Instant,
    /// The receipts of the replies that end the task, the newest last. They are acknowledged when AWS has the outcome. There is
    /// none if the bridge ended the task itself.
    pub receipts: Vec<Receipt>,
    /// The span of the task. It began at the poll.
    pub span: Span,
    /// The span of the leg that the task is on.
    pub(super) leg_span: LegSpan,
    /// Puts the trace into the log lines about the task; `None` if the trace is not known.
    pub(super) _log_trace: Option<LogTrace>,
    pub(super) state: State,
    pub(super) token: TaskToken,
    /// The name of the activity type, or of the activity; empty if an earlier version recorded the task.
    pub(super) activity: Box<str>,
    pub(super) polled_at: SystemTime,
    pub(super) timeouts: Timeouts,
    pub(super) schedule: HeartbeatSchedule,
    pub(super) legs: LegClock,
    /// The time under which the task is in the order of what is due; `None` if it is not in it.
    pub(super) due: Option<Instant>,
    pub(super) cancel_requested: bool,
    /// Whether AWS answered during the settlement, to a heartbeat, that the token is dead.
    pub(super) gone: bool,
    /// When the publish began that the broker has confirmed; `None` if that was in an earlier process.
    pub(super) published_at: Option<Instant>,
    /// When the bridge heard that the broker has lost the message that it had confirmed; `None` if it has not.
    pub(super) lost_at: Option<Instant>,
    /// Whether the store has the record.
    pub(super) recorded: bool,
    /// The number of failed deliveries, as far as they are known.
    pub(super) failed_deliveries: u32,
    /// Whether a delivery is under way. Only a broker that keeps no messages tells of deliveries, and of releases.
    pub(super) is_out: bool,
    /// Whether a worker has begun for good.
    pub(super) released: bool,
    /// The outcome that is being sent to AWS, if the broker keeps no messages and the store does not have it.
    pub(super) outcome: Option<Arc<Outcome>>,
    /// Whether the store has the outcome.
    pub(super) outcome_kept: bool,
    /// Whoever waits for the end of the entry. See [`InflightTable::left`].
    pub(super) left: Option<watch::Sender<()>>,
    /// The slot. It is freed when the entry is dropped.
    pub(super) _slot: Slot,
}

/// What a settlement or a heartbeat needs of a task in flight.
#[derive(Clone, Debug)]
pub struct TaskHandle {
    /// The id of the task.
    pub id: TaskId,
    /// The route of the task.
    pub route: Arc<Route>,
    /// The token of the task.
    pub token: TaskToken,
    /// The span of the task.
    pub span: Span,
    /// The end of the start-to-close timeout, if it is certain.
    pub deadline: Option<SystemTime>,
    /// Whether AWS has requested a cancel.
    pub cancel_requested: bool,
}

/// What a final reply means.
#[derive(Debug)]
pub enum FinalReply {
    /// Settle the task now. The table keeps the receipt of the reply until that is done.
    Settle(TaskHandle),
    /// A settlement is under way. The table keeps this receipt instead of the returned one, which may be acknowledged.
    Superseded(Option<Receipt>),
    /// The task has ended, or a parked reply was replayed while another outcome is being settled. The reply may be acknowledged.
    Late(Receipt),
    /// The task is not in flight here, and is not known to have ended: another process has taken it over.
    Released(Receipt),
}

/// What this process knows of a task.
#[derive(Clone, Debug)]
pub enum Standing {
    /// The task is in flight here.
    Open(Arc<Route>),
    /// The task ended lately.
    Ended,
    /// The task never was in flight here, or ended long ago.
    Unknown,
}

/// See the module. The slots bound the tasks in flight, and `remember` bounds the ended ones.
#[derive(Debug)]
pub struct InflightTable {
    table: Mutex<Table>,
    pub(super) last_tallies: LastTallies,
    /// Notified when something becomes due before everything else.
    pub(super) sooner: Notify,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(super) open: HashMap<TaskId, InflightTask>,
    /// When something is due for each task, except for tasks with a heartbeat under way.
    pub(super) due: BTreeSet<(Instant, TaskId)>,
    /// Tasks that ended by a worker's reply. A second reply usually comes soon.
    pub(super) ended_by_reply: EndedIds,
    /// Tasks that ended without a reply. The reply may come much later.
    pub(super) ended_without_reply: EndedIds,
}

/// The ids of the newest ended tasks, at most `most`.
#[derive(Debug)]
pub(crate) struct EndedIds {
    pub(super) ids: HashSet<TaskId>,
    pub(super) in_order: VecDeque<TaskId>,
    pub(super) most: usize,
}

/// Number of ended tasks that are remembered beyond twice the slots, so that a late reply is known to be late.
const REMEMBER_MARGIN: usize = 10_000;

/// Number of ended tasks to remember, for this number of slots.
#[must_use]
pub fn remembered_for(slots: usize) -> usize {
    2 * slots + REMEMBER_MARGIN
}

impl InflightTable {
    /// An empty table. It remembers the last `remember` tasks that ended by a reply, and as many that ended without one.
    #[must_use]
    pub fn new(remember: usize) -> Self {
        Self {
            table: Mutex::new(Table {
                open: HashMap::new(),
                due: BTreeSet::new(),
                ended_by_reply: EndedIds::new(remember),
                ended_without_reply: EndedIds::new(remember),
            }),
            last_tallies: LastTallies::default(),
            sooner: Notify::new(),
        }
    }

    /// Remembers as many ended tasks of each kind, unless it remembers more.
    pub fn remember(&self, most: usize) {
        let mut table = self.table();
        table.ended_by_reply.most = table.ended_by_reply.most.max(most);
        table.ended_without_reply.most = table.ended_without_reply.most.max(most);
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    /// Enters a task that was just polled.
    pub fn enter(&self, task: &Task, route: Arc<Route>, slot: Slot, span: Span) {
        let terms = Terms::new(&route.config.heartbeat, task.timeouts.heartbeat);
        let now = Instant::now();
        let trace = span.traceparent().or(task.input.traceparent());
        let entry = InflightTask {
            route,
            since: now,
            receipts: Vec::new(),
            span,
            leg_span: LegSpan::default(),
            _log_trace: trace.map(|trace| LogTrace::new(task.id.first_digits(), trace.trace_id)),
            state: State::Publishing,
            token: task.token.clone(),
            activity: task.activity.as_str().into(),
            polled_at: task.polled_at,
            timeouts: task.timeouts,
            schedule: HeartbeatSchedule::new(terms, now, rand::random()),
            legs: LegClock::started(now),
            due: None,
            cancel_requested: false,
            gone: false,
            published_at: None,
            lost_at: None,
            recorded: false,
            failed_deliveries: 0,
            is_out: false,
            released: false,
            outcome: None,
            outcome_kept: false,
            left: None,
            _slot: slot,
        };
        let mut table = self.table();
        table.open.insert(task.id, entry);
        self.reschedule(table, task.id);
    }

    /// Notes what the broker did with a task's message. The command says whether to publish the message again.
    pub fn on_publish(&self, id: TaskId, event: Event) -> Command {
        self.table().step(id, event)
    }

    /// Notes that the store has the record. True if the message is to be published now.
    pub fn on_recorded(&self, id: TaskId) -> bool {
        if let Some(entry) = self.table().open.get_mut(&id) {
            entry.recorded = true;
        }
        self.awaits_publish(id)
    }

    /// Whether the message is still to be published.
    pub fn awaits_publish(&self, id: TaskId) -> bool {
        let table = self.table();
        let state = table.open.get(&id).map(|entry| entry.state);
        matches!(state, Some(State::Publishing))
    }

    /// Notes that no queue takes a message whose publish was confirmed. A handle means that the task must be failed back to AWS.
    pub fn on_returned(&self, id: TaskId) -> Option<TaskHandle> {
        self.settles(id, Event::Returned)
    }

    /// Notes that the bridge ends the task itself. `None` if the task has ended or is being settled already.
    pub fn give_up(&self, id: TaskId) -> Option<TaskHandle> {
        self.settles(id, Event::GiveUp)
    }

    /// Notes that the bridge ends a task that no worker has started. `None` if a worker has started it or got it meanwhile.
    pub fn give_up_unstarted(&self, id: TaskId) -> Option<TaskHandle> {
        let table = self.table();
        let started = |entry: &InflightTask| !entry.schedule.is_waiting();
        match table.open.get(&id).is_some_and(started) {
            true => None,
            false => self.settle_in(table, id, Event::GiveUp),
        }
    }

    fn settles(&self, id: TaskId, event: Event) -> Option<TaskHandle> {
        self.settle_in(self.table(), id, event)
    }

    pub(super) fn settle_in(
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

    /// What this process knows of the task.
    pub fn standing(&self, id: TaskId) -> Standing {
        let table = self.table();
        match table.open.get(&id) {
            Some(entry) => Standing::Open(Arc::clone(&entry.route)),
            None if table.has_ended(id) => Standing::Ended,
            None => Standing::Unknown,
        }
    }

    /// The name of the activity type, or of the activity; empty if it is not known. `None`: the task is not in flight.
    #[must_use]
    pub fn activity(&self, id: TaskId) -> Option<Box<str>> {
        let table = self.table();
        table.open.get(&id).map(|entry| entry.activity.clone())
    }

    /// Notes a reply that ends the task.
    pub fn on_final_reply(&self, id: TaskId, receipt: Receipt) -> FinalReply {
        let mut table = self.table();
        let command = table.step(id, Event::FinalReply);
        let Some(entry) = table.open.get_mut(&id) else {
            return match table.has_ended(id) {
                true => FinalReply::Late(receipt),
                false => FinalReply::Released(receipt),
            };
        };
        match command {
            Command::Settle => {
                entry.receipts.push(receipt);
                let handle = entry.handle(id);
                self.reschedule(table, id);
                FinalReply::Settle(handle)
            }
            // It began no settlement, and must not take the place of a reply that only the broker keeps.
            Command::Hold if receipt.is_parked() => FinalReply::Late(receipt),
            Command::Hold => {
                let older = entry.receipts.pop();
                entry.receipts.push(receipt);
                FinalReply::Superseded(older)
            }
            Command::Nothing
            | Command::PublishAgain
            | Command::Heartbeat
            | Command::AnnounceGone
            | Command::CleanUp
            | Command::Reschedule
            | Command::Note => FinalReply::Late(receipt),
        }
    }

    /// Keeps the receipt of a superseded reply too, until the settlement has ended. Returns it if that is so already.
    #[must_use]
    pub fn hold_also(&self, id: TaskId, older: Receipt) -> Option<Receipt> {
        let mut table = self.table();
        let Some(entry) = table.open.get_mut(&id) else {
            return Some(older);
        };
        let before_newest = entry.receipts.len().saturating_sub(1);
        entry.receipts.insert(before_newest, older);
        None
    }

    /// Whether the settlement was begun by a parked reply that is being replayed. If so, the replay hears why nobody takes it.
    #[must_use]
    pub fn stays_parked(&self, id: TaskId, because: &str) -> bool {
        let table = self.table();
        let receipts = table.open.get(&id).map(|entry| &entry.receipts);
        // After the replay, nobody knows whether the message is still there.
        let stays = |receipt: &Receipt| receipt.is_usable() && receipt.stays_parked(because);
        receipts.is_some_and(|receipts| receipts.iter().any(stays))
    }

    /// Takes the receipts of the replies that end the task, because they must not be acknowledged.
    #[must_use]
    pub fn take_receipts(&self, id: TaskId) -> Vec<Receipt> {
        let mut table = self.table();
        let entry = table.open.get_mut(&id);
        entry.map_or_else(Vec::new, |entry| std::mem::take(&mut entry.receipts))
    }

    /// Notes that AWS answered to a heartbeat that the token is dead. Returns the removed task if that is to be announced to the
    /// worker.
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

    /// Whether AWS answered during the settlement, to a heartbeat, that the token is dead.
    #[must_use]
    pub fn is_gone(&self, id: TaskId) -> bool {
        self.table().open.get(&id).is_some_and(|entry| entry.gone)
    }

    /// Notes that the legs of a task's way are not to be measured any more: what comes next is not a worker's reply.
    pub fn stop_leg_clock(&self, id: TaskId) {
        if let Some(entry) = self.table().open.get_mut(&id) {
            entry.legs = LegClock::off();
        }
    }

    /// Notes that the settlement has ended, and removes the task.
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

    /// The ids of the tasks that the store does not have.
    #[must_use]
    pub fn unpersisted(&self) -> Vec<TaskId> {
        let table = self.table();
        let unpersisted = table.open.iter().filter(|(_, entry)| !entry.recorded);
        unpersisted.map(|(id, _)| *id).collect()
    }

    /// The number of tasks in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table().open.len()
    }

    /// Whether no task is in flight.
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

/// The end of the start-to-close timeout, if it is certain.
fn deadline(polled_at: SystemTime, timeouts: Timeouts) -> Option<SystemTime> {
    polled_at.checked_add(timeouts.start_to_close.certain()?)
}

impl EndedIds {
    fn new(most: usize) -> Self {
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
    /// Applies an event to a task. A task that is not in the table has ended.
    pub(super) fn step(&mut self, id: TaskId, event: Event) -> Command {
        let Some(entry) = self.open.get_mut(&id) else {
            return lifecycle::step(State::Ended, event).1;
        };
        let (state, command) = lifecycle::step(entry.state, event);
        if state == entry.state && command == Command::Nothing {
            return command;
        }
        let now = Instant::now();
        let metrics = &entry.route.metrics;
        let ended = |leg, took| metrics.leg(leg, took);
        entry.legs.on(event, now, ended);
        if state == State::Settling && entry.state != State::Settling {
            entry.schedule.begin_settling(now);
        }
        let before = std::mem::replace(&mut entry.state, state);
        entry.trace_leg(event, before);
        if event == Event::MessageLost && command == Command::PublishAgain {
            entry.lost_at = Some(now);
        }
        command
    }

    fn handle(&self, id: TaskId) -> Option<TaskHandle> {
        self.open.get(&id).map(|entry| entry.handle(id))
    }

    fn has_ended(&self, id: TaskId) -> bool {
        self.ended_by_reply.ids.contains(&id) || self.ended_without_reply.ids.contains(&id)
    }

    fn end(&mut self, id: TaskId) -> Option<InflightTask> {
        let entry = self.remove(id)?;
        match entry.receipts.is_empty() {
            false => self.ended_by_reply.add(id),
            true => self.ended_without_reply.add(id),
        }
        Some(entry)
    }

    pub(super) fn remove(&mut self, id: TaskId) -> Option<InflightTask> {
        let entry = self.open.remove(&id)?;
        if let Some(at) = entry.due {
            self.due.remove(&(at, id));
        }
        Some(entry)
    }
}
