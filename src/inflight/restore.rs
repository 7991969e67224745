//! Changes of the table that do not come from a poll or a reply: an adopted task enters, a task that another process took over
//! leaves, a task that ended elsewhere is remembered.

use super::{
    heartbeat_schedule::{Adopted, HeartbeatSchedule, Terms},
    leg_clock::LegClock,
    lifecycle::State,
    table::{InflightTable, InflightTask},
};
use crate::{
    broker::Durability,
    route::Route,
    store::Record,
    task::TaskId,
    trace::{LegSpan, Span},
};
use std::{sync::Arc, time::SystemTime};
use tokio::time::Instant;

/// How an adopted task goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// Its message must be published.
    ToPublish,
    /// The broker or a worker has its message.
    Dispatched,
    /// The store has its outcome, which AWS has not taken.
    ToSettle,
    /// Its message or its worker is at a broker of another kind, from which no reply can come.
    ToFail,
}

impl Restored {
    /// How a task goes on whose record was found in the store: from an earlier run of the process, or from a dead process. The
    /// kind of this process's broker may be another than that of the record. Also returns the record as it counts from now on.
    #[must_use]
    pub fn found(mut record: Record, broker: Durability) -> (Record, Self) {
        let same_kind = record.durable == (broker == Durability::Durable);
        // A broker that keeps no messages lost them with its process. There, only a release makes a record say published.
        let restored = match record.published {
            _ if record.has_outcome => Self::ToSettle,
            false => Self::ToPublish,
            true if same_kind => Self::Dispatched,
            true => Self::ToFail,
        };
        // A worker that began counts no more if its connection ended with the process, or if it is at another broker.
        let may_go_on = same_kind && broker == Durability::Durable;
        record.begun &= may_go_on || restored != Self::ToPublish;
        (record, restored)
    }
}

impl InflightTable {
    /// Enters an adopted task, unless it is in the table. It gets a slot, whether one is free or not. True if it was entered.
    pub fn adopt(&self, record: Record, route: &Arc<Route>, restored: Restored) -> bool {
        let mut table = self.table();
        if table.open.contains_key(&record.id) {
            return false;
        }
        let now = Instant::now();
        let ago = |at: SystemTime| at.elapsed().unwrap_or_default();
        let terms = Terms::new(&route.config.heartbeat, record.timeouts.heartbeat);
        let from = Adopted {
            age: ago(record.polled_at),
            since_heartbeat: record.heard.map(ago),
            begun: record.begun,
        };
        let mut schedule = HeartbeatSchedule::adopted(terms, from, now, rand::random());
        if restored == Restored::ToPublish && record.failed_deliveries > 0 {
            schedule.come_back(now);
        }
        if restored == Restored::ToSettle {
            schedule.begin_settling(now);
        }
        let entry = InflightTask {
            route: Arc::clone(route),
            since: now.checked_sub(from.age).unwrap_or(now),
            receipts: Vec::new(),
            span: Span::none(),
            leg_span: LegSpan::default(),
            _log_trace: None,
            state: match restored {
                Restored::ToPublish => State::Publishing,
                Restored::Dispatched | Restored::ToFail => State::Dispatched,
                Restored::ToSettle => State::Settling,
            },
            token: record.token,
            activity: record.activity,
            polled_at: record.polled_at,
            timeouts: record.timeouts,
            schedule,
            legs: LegClock::off(),
            due: None,
            cancel_requested: false,
            gone: false,
            published_at: None,
            lost_at: None,
            recorded: true,
            failed_deliveries: record.failed_deliveries,
            is_out: false,
            released: !record.durable && record.published,
            outcome: None,
            outcome_kept: record.has_outcome,
            left: None,
            _slot: route.slots.acquire_beyond(),
        };
        table.open.insert(record.id, entry);
        self.reschedule(table, record.id);
        true
    }

    /// Notes the activity of an adopted task, from its message. The record of an earlier version does not have it.
    pub fn learn_activity(&self, id: TaskId, activity: &str) {
        if let Some(entry) = self.table().open.get_mut(&id) {
            entry.activity = activity.into();
        }
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
            source: Some(entry.route.source.kind()),
            token: entry.token.clone(),
            activity: entry.activity.clone(),
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
            // The store has lost it with the record, and this process has it.
            has_outcome: false,
            failed_deliveries: entry
                .failed_deliveries
                .saturating_add(u32::from(entry.is_out)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{TaskToken, Timeouts};
    use Durability::{Durable, Process};
    use Restored::{Dispatched, ToFail, ToPublish, ToSettle};

    fn record(durable: bool, published: bool, begun: bool, has_outcome: bool) -> Record {
        Record {
            id: TaskId::random(),
            route: "payments".to_owned(),
            source: None,
            token: TaskToken::new("token").expect("not empty"),
            activity: "charge".into(),
            polled_at: SystemTime::UNIX_EPOCH,
            timeouts: Timeouts::default(),
            published,
            begun,
            heard: None,
            durable,
            failed_deliveries: 0,
            has_outcome,
        }
    }

    #[test]
    fn how_a_found_task_goes_on_depends_on_its_message_and_on_both_kinds_of_broker() {
        const YES: bool = true;
        const NO: bool = false;
        #[rustfmt::skip]
        let rows = [
            // durable, published, begun   broker   then        begun counts
            // the same durable broker
            (YES, NO,  NO,                 Durable, ToPublish,  NO),
            (YES, NO,  YES,                Durable, ToPublish,  YES),
            (YES, YES, NO,                 Durable, Dispatched, NO),
            (YES, YES, YES,                Durable, Dispatched, YES),
            // the same kind that keeps nothing: published means released
            (NO,  NO,  NO,                 Process, ToPublish,  NO),
            (NO,  NO,  YES,                Process, ToPublish,  NO),
            (NO,  YES, YES,                Process, Dispatched, YES),
            // from a durable broker to one that keeps nothing
            (YES, NO,  NO,                 Process, ToPublish,  NO),
            (YES, NO,  YES,                Process, ToPublish,  NO),
            (YES, YES, NO,                 Process, ToFail,     NO),
            (YES, YES, YES,                Process, ToFail,     YES),
            // and the other way
            (NO,  NO,  NO,                 Durable, ToPublish,  NO),
            (NO,  NO,  YES,                Durable, ToPublish,  NO),
            (NO,  YES, YES,                Durable, ToFail,     YES),
        ];
        for (durable, published, begun, broker, expected, counts) in rows {
            let row = format!("{durable} {published} {begun} {broker:?}");
            let (found, restored) =
                Restored::found(record(durable, published, begun, false), broker);
            assert_eq!((restored, found.begun), (expected, counts), "{row}");
            let (_, restored) = Restored::found(record(durable, published, begun, true), broker);
            assert_eq!(restored, ToSettle, "{row}");
        }
    }
}
