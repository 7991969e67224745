//! `/metrics`: the counters, and the gauges that are computed when somebody asks.

use super::{readiness::Readiness, scale::works, shared::Admin};
use crate::metrics::RouteSnapshot;

/// All metrics, in Prometheus's text format.
///
/// # Errors
///
/// If the encoder fails. It has no reason to.
pub fn text(admin: &Admin) -> Result<Vec<u8>, prometheus::Error> {
    let bridge = &admin.bridge;
    let readiness = Readiness::of(admin);
    set_process_gauges(admin, &readiness);
    let tallies = bridge.inflight.tally();
    let works = works(bridge, |route| admin.has_begun(route));
    // Nothing reloads the configuration between these.
    let routes = bridge.routes.all();
    let routes = routes.iter().zip(&readiness.routes);
    let routes: Vec<_> = routes
        .map(|(route, seen)| {
            let work = works.iter().find(|work| work.route == seen.name);
            let tally = tallies.get(&seen.name).copied().unwrap_or_default();
            RouteSnapshot {
                route: &seen.name,
                source: seen.source,
                reason: seen.reason,
                ready: seen.ready,
                slots: seen.slots,
                slots_taken: seen.slots_taken,
                in_flight: tally.by_progress,
                oldest: tally.oldest_age(),
                // A query adds the tasks in flight to it, which are not known either then.
                pending: work.and_then(|work| work.work.and(work.pending_at_aws)),
                work: work.and_then(|work| work.work),
                unacknowledged: bridge.broker.unacknowledged(&route.config.destination),
            }
        })
        .collect();
    bridge.metrics.render(&routes)
}

fn set_process_gauges(admin: &Admin, readiness: &Readiness) {
    let bridge = &admin.bridge;
    let metrics = &bridge.metrics;
    let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    metrics.ready.set(readiness.ready.into());
    metrics.in_flight.set(gauge(readiness.tasks_in_flight));
    let connected = bridge.broker.link().borrow().is_connected();
    metrics.broker_connected.set(connected.into());
    let connections = bridge.broker.connections().unwrap_or_default();
    metrics.worker_connections.set(gauge(connections));
    let available = bridge.store.unavailable().is_none();
    metrics.store_available.set(available.into());
    let unreadable = gauge(bridge.store.unreadable());
    metrics.store_unreadable.set(unreadable);
}
