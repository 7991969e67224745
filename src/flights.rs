//! The table of flights: every task of ours that AWS has not settled, and the ids of those that ended lately.
//!
//! It holds what must not be held twice (the slot, the reply that waits for its acknowledgement) and asks
//! [`lifecycle::step`] what each event means. It never talks to the network.

use crate::{
    broker::Receipt,
    lifecycle::{self, Command, Event, State},
    route::Route,
    slots::Slot,
    task::{Task, TaskId, TaskToken},
    trace::Span,
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use tokio::{sync::oneshot, time::Instant};

/// A task in flight.
#[derive(Debug)]
pub struct Flight {
    /// The route that polled it.
    pub route: Arc<Route>,
    /// When it was polled, for the histogram.
    pub since: Instant,
    /// The reply that ended it, to be acknowledged when AWS has it; `None` where the bridge ended it itself.
    pub held: Option<Receipt>,
    /// Its span, from the poll to here.
    pub span: Span,
    state: State,
    token: TaskToken,
    deadline: Option<SystemTime>,
    beat: Beat,
    cancel_announced: bool,
    /// Dropped with the flight, which frees the slot.
    _slot: Slot,
}

/// The worker's signs of life that AWS has not heard yet: never more than the newest.
#[derive(Debug, Default)]
struct Beat {
    newest: Option<String>,
    /// While somebody relays; dropped with the flight, which wakes the relay.
    relaying: Option<oneshot::Sender<Infallible>>,
}

/// Resolves when the flight has ended.
pub type Ended = oneshot::Receiver<Infallible>;

/// What a settlement or a heartbeat needs to know of a flight.
#[derive(Clone, Debug)]
pub struct Ticket {
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
    Settle(Ticket),
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

/// See the module. Both parts are bounded: the open ones by the slots, the ended ones by `remember`.
#[derive(Debug)]
pub struct Flights {
    table: Mutex<Table>,
    remember: usize,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<TaskId, Flight>,
    ended: HashSet<TaskId>,
    ended_in_order: VecDeque<TaskId>,
}

impl Flights {
    /// An empty table that remembers the last `remember` tasks that ended.
    #[must_use]
    pub fn new(remember: usize) -> Self {
        Self {
            table: Mutex::default(),
            remember,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a task that was just polled.
    pub fn enter(&self, task: &Task, route: Arc<Route>, slot: Slot, span: Span) {
        let flight = Flight {
            route,
            since: Instant::now(),
            held: None,
            span,
            state: State::Publishing,
            token: task.token.clone(),
            deadline: task.deadline,
            beat: Beat::default(),
            cancel_announced: false,
            _slot: slot,
        };
        self.table().open.insert(task.id, flight);
    }

    /// Takes note of what the broker did with a task's message; says whether to publish it again.
    pub fn on_publish(&self, id: TaskId, event: Event) -> Command {
        self.table().step(id, event)
    }

    /// Whether the task's message is still to be brought to the broker.
    pub fn awaits_publish(&self, id: TaskId) -> bool {
        let table = self.table();
        let state = table.open.get(&id).map(|flight| flight.state);
        matches!(state, Some(State::Publishing | State::Returned))
    }

    /// Takes note that the broker returned a message whose own confirm is seen elsewhere. A ticket means that
    /// the confirm came first, so that the task must be failed back to AWS.
    pub fn on_returned(&self, id: TaskId) -> Option<Ticket> {
        let mut table = self.table();
        (table.step(id, Event::Returned) == Command::Settle)
            .then(|| table.ticket(id))
            .flatten()
    }

    /// The bridge ends the task itself; `None` where that is no longer its to do.
    pub fn give_up(&self, id: TaskId) -> Option<Ticket> {
        let mut table = self.table();
        (table.step(id, Event::GiveUp) == Command::Settle)
            .then(|| table.ticket(id))
            .flatten()
    }

    /// Whether the task is one of ours.
    pub fn standing(&self, id: TaskId) -> Standing {
        let table = self.table();
        match table.open.get(&id) {
            Some(flight) => Standing::Open(Arc::clone(&flight.route)),
            None if table.ended.contains(&id) => Standing::Ended,
            None => Standing::Unknown,
        }
    }

    /// A reply that ends the task.
    pub fn on_final_reply(&self, id: TaskId, receipt: Receipt) -> FinalReply {
        let mut table = self.table();
        let command = table.step(id, Event::FinalReply);
        match (command, table.open.get_mut(&id)) {
            (Command::Settle, Some(flight)) => {
                flight.held = Some(receipt);
                FinalReply::Settle(flight.ticket(id))
            }
            (Command::Hold, Some(flight)) => FinalReply::Superseded(flight.held.replace(receipt)),
            _ => FinalReply::Late(receipt),
        }
    }

    /// A sign of life. A ticket means that somebody must begin to relay; otherwise somebody does already.
    pub fn on_beat(&self, id: TaskId, details: String) -> Option<Ticket> {
        let mut table = self.table();
        if table.step(id, Event::Beat) != Command::Heartbeat {
            return None;
        }
        let flight = table.open.get_mut(&id)?;
        let relayed =
            flight.beat.newest.replace(details).is_some() || flight.beat.relaying.is_some();
        (!relayed).then(|| flight.ticket(id))
    }

    /// The newest details that AWS has not heard, and what tells the relay that the flight has ended. `None` ends the
    /// relaying.
    pub fn next_beat(&self, id: TaskId) -> Option<(String, Ended)> {
        let mut table = self.table();
        let flight = table.open.get_mut(&id)?;
        if flight.state == State::Settling {
            flight.beat.newest = None;
        }
        flight.beat.relaying = None;
        let newest = flight.beat.newest.take()?;
        let (alive, ended) = oneshot::channel();
        flight.beat.relaying = Some(alive);
        Some((newest, ended))
    }

    /// AWS wants the task canceled. True the first time, when the worker is to be told.
    pub fn on_cancel_requested(&self, id: TaskId) -> bool {
        let mut table = self.table();
        let flight = table.open.get_mut(&id);
        flight.is_some_and(|flight| !std::mem::replace(&mut flight.cancel_announced, true))
    }

    /// AWS says that the token is dead. The flight is returned where the worker is to be told.
    pub fn on_gone(&self, id: TaskId) -> Option<Flight> {
        let mut table = self.table();
        (table.step(id, Event::Gone) == Command::AnnounceGone)
            .then(|| table.end(id, self.remember))
            .flatten()
    }

    /// The settlement is over.
    pub fn on_settled(&self, id: TaskId) -> Option<Flight> {
        let mut table = self.table();
        (table.step(id, Event::Settled) == Command::Forget)
            .then(|| table.end(id, self.remember))
            .flatten()
    }

    /// The ids of all tasks in flight.
    #[must_use]
    pub fn ids(&self) -> Vec<TaskId> {
        self.table().open.keys().copied().collect()
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

impl Flight {
    fn ticket(&self, id: TaskId) -> Ticket {
        Ticket {
            id,
            route: Arc::clone(&self.route),
            token: self.token.clone(),
            span: self.span.clone(),
            deadline: self.deadline,
            cancel_requested: self.cancel_announced,
        }
    }
}

impl Table {
    /// A task that is not in the table has ended.
    fn step(&mut self, id: TaskId, event: Event) -> Command {
        let Some(flight) = self.open.get_mut(&id) else {
            return lifecycle::step(State::Ended, event).1;
        };
        let (state, command) = lifecycle::step(flight.state, event);
        flight.state = state;
        command
    }

    fn ticket(&self, id: TaskId) -> Option<Ticket> {
        self.open.get(&id).map(|flight| flight.ticket(id))
    }

    fn end(&mut self, id: TaskId, remember: usize) -> Option<Flight> {
        if self.ended_in_order.len() >= remember
            && let Some(oldest) = self.ended_in_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        self.ended_in_order.push_back(id);
        self.ended.insert(id);
        self.open.remove(&id)
    }
}
