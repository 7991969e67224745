//! What a person should know about a route that is ready all the same.

use crate::{broker::Broker, route::Route};

/// The notes about a route.
#[must_use]
pub fn notes(broker: &dyn Broker, route: &Route) -> Vec<String> {
    let early_acks = route.early_acks().map(|early| early.to_string());
    let unparked = broker.parking_problem().map(|why| {
        format!("a reply that can't be used is lost unless its worker keeps it, because {why}")
    });
    early_acks.into_iter().chain(unparked).collect()
}
