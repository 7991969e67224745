//! The list of tasks in flight, for `/tasks` of the admin endpoint and for `activity-bridge tasks`.
//!
//! It contains the id, the route, the progress and the last heartbeat of a task. It never contains a token or an input. Who
//! may not know whole ids gets the first digits.

use super::caller::Caller;
use crate::{
    inflight::{InflightTable, Listed, Progress},
    store::{Record, StoreConfig},
};
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, time::SystemTime};

/// The tasks in flight, the oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listing {
    /// The owner name of the answering process; `None` if the list was read from the store.
    pub(crate) owner: Option<String>,
    /// The kind and place of the token store.
    pub(crate) store: String,
    pub(crate) tasks: Vec<Entry>,
    /// What a person should know about the routes. Only a running process knows it.
    #[serde(default)]
    pub(crate) notes: Vec<RouteNote>,
}

/// What a person should know about a route.
#[derive(Debug, Serialize, Deserialize)]
pub struct RouteNote {
    /// The name of the route.
    pub route: String,
    /// The note.
    pub note: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The whole id; `None` for who may not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The beginning of the id, as the log shows it.
    pub(crate) short_id: String,
    pub(crate) route: String,
    pub(crate) state: Progress,
    pub(crate) age_secs: u64,
    pub(crate) last_heartbeat_secs_ago: Option<u64>,
    /// The process that owns the task; `None` if none does.
    pub(crate) owner: Option<String>,
}

impl Listing {
    /// The tasks of this process.
    #[must_use]
    pub fn of_process(inflight: &InflightTable, owner: &str, store: &str) -> Self {
        let mut listed = inflight.list();
        listed.sort_unstable_by_key(|one| (Reverse(one.age), one.id));
        let entry = |one: &Listed| Entry {
            id: Some(one.id.reveal()),
            short_id: one.id.to_string(),
            route: one.route.name().to_owned(),
            state: one.progress,
            age_secs: one.age.as_secs(),
            last_heartbeat_secs_ago: one.last_heartbeat.map(|ago| ago.as_secs()),
            owner: Some(owner.to_owned()),
        };
        Self {
            owner: Some(owner.to_owned()),
            store: store.to_owned(),
            tasks: listed.iter().map(entry).collect(),
            notes: Vec::new(),
        }
    }

    /// The same with these notes.
    #[must_use]
    pub fn with_notes(self, notes: Vec<RouteNote>) -> Self {
        Self { notes, ..self }
    }

    /// What the caller may see of it: whole ids or only their beginnings.
    pub(super) fn shown_to(mut self, caller: Caller) -> Self {
        if !caller.may_know_ids {
            for task in &mut self.tasks {
                task.id = None;
            }
        }
        self
    }

    /// The records of a store, each with the owner of the task.
    pub(crate) fn of_records(
        mut records: Vec<(Record, Option<String>)>,
        store: &StoreConfig,
        now: SystemTime,
    ) -> Self {
        records.sort_unstable_by_key(|(record, _)| (record.polled_at, record.id));
        // The clocks of two machines differ, so a time may be in the future.
        let since = |at| now.duration_since(at).unwrap_or_default().as_secs();
        let entry = |(record, owner): (Record, Option<String>)| Entry {
            id: Some(record.id.reveal()),
            short_id: record.id.to_string(),
            state: progress(&record),
            age_secs: since(record.polled_at),
            last_heartbeat_secs_ago: record.heard.map(since),
            route: record.route,
            owner,
        };
        Self {
            owner: None,
            store: store.place(),
            tasks: records.into_iter().map(entry).collect(),
            notes: Vec::new(),
        }
    }
}

/// The progress of a task as far as the store knows. The store does not know that an outcome is being sent.
fn progress(record: &Record) -> Progress {
    match (record.begun, record.published) {
        (true, _) => Progress::Working,
        (false, true) => Progress::Waiting,
        // A broker that keeps no messages has told of it, so it has been published.
        (false, false) if !record.durable => Progress::Waiting,
        (false, false) => Progress::Publishing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_from_another_machine_gets_the_beginnings_of_ids_only() {
        for (from, id) in [("127.0.0.1", Some("0123456789ab")), ("10.0.0.7", None)] {
            let task = Entry {
                id: Some("0123456789ab".to_owned()),
                short_id: "01234567".to_owned(),
                route: "payments".to_owned(),
                state: Progress::Waiting,
                age_secs: 1,
                last_heartbeat_secs_ago: None,
                owner: None,
            };
            let listing = Listing {
                owner: None,
                store: "memory".to_owned(),
                tasks: vec![task],
                notes: Vec::new(),
            };
            let caller = Caller::at(from.parse().expect("an address"));
            let shown = serde_json::to_value(listing.shown_to(caller)).expect("JSON");
            let task = &shown["tasks"][0];
            assert_eq!(task.get("id").and_then(|id| id.as_str()), id, "{from}");
            assert_eq!(task["short_id"], "01234567");
        }
    }
}
