//! What a person should know about a route, or the token store, that is ready all the same.

use crate::{broker::Broker, route::Route, store::Store};

/// The notes about a route.
#[must_use]
pub fn notes(broker: &dyn Broker, route: &Route) -> Vec<String> {
    let early_acks = route.early_acks().map(|early| early.to_string());
    let unparked = broker.parking_problem().map(|why| {
        format!("a reply that can't be used is lost unless its worker keeps it, because {why}")
    });
    let missing = match route.missing() {
        0 => None,
        tasks => Some(format!(
            "{tasks} tasks wait for a worker, but {} has been empty and without consumers for a minute: was it purged? activity-bridge \
             release --route {} publishes them again",
            route.config.destination,
            route.name()
        )),
    };
    let paused = route.is_paused().then(|| {
        let name = route.name();
        format!("paused by an operator: it takes no tasks until activity-bridge resume {name}, or until the bridge starts again")
    });
    let notes = paused.into_iter().chain(early_acks).chain(unparked);
    notes.chain(missing).collect()
}

/// The notes about the token store.
#[must_use]
pub fn store_notes(store: &dyn Store) -> Vec<String> {
    let note = |count| {
        format!(
            "records or keys of the token store that can't be read and are left alone: {count}; the log names each"
        )
    };
    let unreadable = Some(store.unreadable()).filter(|count| *count > 0);
    unreadable.map(note).into_iter().collect()
}
