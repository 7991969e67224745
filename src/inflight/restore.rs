//! Tasks that were not polled just now: adopted from the store, lost to another process, ended elsewhere.

use super::{
    heartbeat_schedule::{Adopted, Pulse, Terms},
    lifecycle::State,
    table::{Flight, Flights},
};
use crate::{route::Route, store::Record, task::TaskId, trace::Span};
use std::{sync::Arc, time::SystemTime};
use tokio::time::Instant;

impl Flights {
    /// Enters a task from the store, unless it is there. It takes a slot, whether one is free or not.
    pub fn adopt(&self, record: Record, route: &Arc<Route>) {
        let mut table = self.table();
        if table.open.contains_key(&record.id) {
            return;
        }
        let now = Instant::now();
        let ago = |at: SystemTime| at.elapsed().unwrap_or_default();
        let terms = Terms::new(&route.config.heartbeat, record.timeouts.heartbeat);
        let from = Adopted {
            age: ago(record.polled_at),
            unheard: record.heard.map(ago),
            begun: record.begun,
        };
        let flight = Flight {
            route: Arc::clone(route),
            since: now.checked_sub(from.age).unwrap_or(now),
            held: None,
            span: Span::none(),
            state: match record.published {
                true => State::Dispatched,
                false => State::Publishing,
            },
            token: record.token,
            polled_at: record.polled_at,
            timeouts: record.timeouts,
            pulse: Pulse::adopted(terms, from, now, rand::random()),
            due: None,
            cancel_requested: false,
            gone: false,
            recorded: true,
            _slot: route.slots.take_beyond(),
        };
        table.open.insert(record.id, flight);
        self.reschedule(table, record.id);
    }

    /// While nobody can ask the others what they hear of the workers, these are presumed to be alive, and those that might
    /// have begun to have done so.
    pub fn presume_alive(&self) {
        for id in self.ids() {
            self.with_pulse(id, |flight| flight.pulse.presume_alive(Instant::now()));
        }
    }

    /// Another process has the task now. Where its outcome is on the way to AWS, that goes on: its reply is held here.
    pub fn release(&self, id: TaskId) {
        let mut table = self.table();
        let settling = |flight: &Flight| flight.state == State::Settling;
        if table.open.get(&id).is_some_and(|flight| !settling(flight)) {
            drop(table.take(id));
        }
    }

    /// Tasks that ended, here before a crash or at another process: a reply to one is late.
    pub fn remember_ended(&self, ids: impl IntoIterator<Item = TaskId>) {
        let mut table = self.table();
        for id in ids {
            table.silent.add(id);
        }
    }

    /// How many ended tasks are remembered.
    #[must_use]
    pub fn remembers(&self) -> usize {
        self.table().silent.most
    }

    /// The record of a task in flight, as the store should have it.
    #[must_use]
    pub fn record(&self, id: TaskId) -> Option<Record> {
        let table = self.table();
        let flight = table.open.get(&id)?;
        Some(Record {
            id,
            route: flight.route.name().to_owned(),
            token: flight.token.clone(),
            polled_at: flight.polled_at,
            timeouts: flight.timeouts,
            published: !matches!(flight.state, State::Publishing | State::Returned),
            begun: flight.pulse.has_begun(),
            heard: None,
        })
    }
}
