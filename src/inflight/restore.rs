//! Changes of the table that do not come from a poll or a reply: an adopted task enters, a task that another process took over
//! leaves, a task that ended elsewhere is remembered.

use super::{
    heartbeat_schedule::{Adopted, HeartbeatSchedule, Terms},
    lifecycle::State,
    table::{InflightTable, InflightTask},
};
use crate::{broker::Durability, route::Route, store::Record, task::TaskId, trace::Span};
use std::{sync::Arc, time::SystemTime};
use tokio::time::Instant;

/// How an adopted task goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// Its message must be published.
    ToPublish,
    /// The broker or a worker has its message.
    Dispatched,
}

impl InflightTable {
    /// Enters an adopted task, unless it is in the table. It gets a slot, whether one is free or not.
    pub fn adopt(&self, record: Record, route: &Arc<Route>, restored: Restored) {
        let mut table = self.table();
        if table.open.contains_key(&record.id) {
            return;
        }
        let now = Instant::now();
        let ago = |at: SystemTime| at.elapsed().unwrap_or_default();
        let terms = Terms::new(&route.config.heartbeat, record.timeouts.heartbeat);
        let from = Adopted {
            age: ago(record.polled_at),
            since_heartbeat: record.heard.map(ago),
            begun: record.begun,
        };
        let entry = InflightTask {
            route: Arc::clone(route),
            since: now.checked_sub(from.age).unwrap_or(now),
            held: None,
            span: Span::none(),
            state: match restored {
                Restored::ToPublish => State::Publishing,
                Restored::Dispatched => State::Dispatched,
            },
            token: record.token,
            polled_at: record.polled_at,
            timeouts: record.timeouts,
            schedule: HeartbeatSchedule::adopted(terms, from, now, rand::random()),
            due: None,
            cancel_requested: false,
            gone: false,
            recorded: true,
            failed_deliveries: record.failed_deliveries,
            is_out: false,
            released: !record.durable && record.published,
            _slot: route.slots.acquire_beyond(),
        };
        table.open.insert(record.id, entry);
        self.reschedule(table, record.id);
    }

    /// Presumes that the workers of all tasks are alive. To be called while other processes can't forward signs of life.
    pub fn presume_alive(&self) {
        for id in self.ids() {
            self.with_schedule(id, |entry| entry.schedule.presume_alive(Instant::now()));
        }
    }

    /// Removes a task that another process owns now. A task that is being settled stays, because this process has its reply.
    /// True if the task was removed.
    pub fn release(&self, id: TaskId) -> bool {
        let mut table = self.table();
        let settling = |entry: &InflightTask| entry.state == State::Settling;
        if table.open.get(&id).is_none_or(settling) {
            return false;
        }
        table.remove(id).is_some()
    }

    /// Remembers tasks that ended before the start or at another process. A reply to one of them is late.
    pub fn remember_ended(&self, ids: impl IntoIterator<Item = TaskId>) {
        let mut table = self.table();
        for id in ids {
            table.ended_without_reply.add(id);
        }
    }

    /// Maximum number of remembered ended tasks without a reply.
    #[must_use]
    pub fn remembers(&self) -> usize {
        self.table().ended_without_reply.most
    }

    /// The record of a task in flight, as the store should have it without its message; `None` if the task is not in flight.
    #[must_use]
    pub fn record(&self, id: TaskId, broker: Durability) -> Option<Record> {
        let table = self.table();
        let entry = table.open.get(&id)?;
        Some(Record {
            id,
            route: entry.route.name().to_owned(),
            token: entry.token.clone(),
            polled_at: entry.polled_at,
            timeouts: entry.timeouts,
            published: match broker {
                Durability::Durable => !matches!(entry.state, State::Publishing),
                // What is not released must be published again by the next owner, who finds that the message is lost.
                Durability::Process => entry.released,
            },
            begun: entry.schedule.has_begun(),
            heard: None,
            durable: broker == Durability::Durable,
            failed_deliveries: entry
                .failed_deliveries
                .saturating_add(u32::from(entry.is_out)),
        })
    }
}
