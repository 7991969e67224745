//! Tasks that were not polled just now: adopted from the store, lost to another process, ended elsewhere.

use super::{
    heartbeat_schedule::{Adopted, HeartbeatSchedule, Terms},
    lifecycle::State,
    table::{InflightTable, InflightTask},
};
use crate::{route::Route, store::Record, task::TaskId, trace::Span};
use std::{sync::Arc, time::SystemTime};
use tokio::time::Instant;

impl InflightTable {
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
        let entry = InflightTask {
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
            schedule: HeartbeatSchedule::adopted(terms, from, now, rand::random()),
            due: None,
            cancel_requested: false,
            gone: false,
            recorded: true,
            _slot: route.slots.acquire_beyond(),
        };
        table.open.insert(record.id, entry);
        self.reschedule(table, record.id);
    }

    /// While nobody can ask the others what they hear of the workers, these are presumed to be alive, and those that might
    /// have begun to have done so.
    pub fn presume_alive(&self) {
        for id in self.ids() {
            self.with_schedule(id, |entry| entry.schedule.presume_alive(Instant::now()));
        }
    }

    /// Another process has the task now. Where its outcome is on the way to AWS, that goes on: its reply is held here.
    pub fn release(&self, id: TaskId) {
        let mut table = self.table();
        let settling = |entry: &InflightTask| entry.state == State::Settling;
        if table.open.get(&id).is_some_and(|entry| !settling(entry)) {
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
        let entry = table.open.get(&id)?;
        Some(Record {
            id,
            route: entry.route.name().to_owned(),
            token: entry.token.clone(),
            polled_at: entry.polled_at,
            timeouts: entry.timeouts,
            published: !matches!(entry.state, State::Publishing),
            begun: entry.schedule.has_begun(),
            heard: None,
        })
    }
}
