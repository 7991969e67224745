//! The gauges of routes that are computed when the metrics are read. Nothing of them is kept: a route that is gone has none.

use super::{labels::RouteReason, register::Registrar};
use crate::{task::Progress, util::Label};
use prometheus::{Registry, proto::MetricFamily};
use std::time::Duration;

/// What is seen of a route when the metrics are read.
#[derive(Clone, Debug)]
pub struct RouteSnapshot<'r> {
    /// The route's name.
    pub route: &'r str,
    /// The kind of its source.
    pub source: &'static str,
    /// Why the route polls or does not.
    pub reason: RouteReason,
    /// Whether it needs no person.
    pub ready: bool,
    /// The number of slots.
    pub slots: usize,
    /// The slots that are taken: more than there are, if tasks were adopted.
    pub slots_taken: usize,
    /// The number of tasks in flight, by [`Progress::index`](Label::index).
    pub in_flight: [usize; Progress::ALL.len()],
    /// The time since the oldest task in flight was polled; zero if there is none.
    pub oldest: Duration,
    /// The tasks that wait at AWS for a poll; `None` if that is not known.
    pub pending: Option<u64>,
    /// The tasks that there are for its workers; `None` if that is not known.
    pub work: Option<u64>,
    /// The tasks of its queue that workers have; `None` if the broker can't tell.
    pub unacknowledged: Option<usize>,
}

/// The families with the gauges of these routes.
pub(super) fn gather(routes: &[RouteSnapshot<'_>]) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let registry = Registry::new();
    let mut of = Registrar::new(&registry);
    let ready = of.gauges(
        "route_ready",
        "1 while the route needs no person, as /readyz says.",
    )?;
    let state = of.labelled_gauges(
        "route_state",
        "Why the route polls or does not, as /readyz says: 1 for this reason, 0 for all others.",
        &["reason"],
    )?;
    let slots = of.gauges(
        "slots",
        "Places of the route for open polls and tasks in flight: max_in_flight.",
    )?;
    let slots_taken = of.gauges(
        "slots_taken",
        "Places that are taken. More than there are, if tasks were adopted.",
    )?;
    let in_flight = of.labelled_gauges(
        "route_tasks_in_flight",
        "Tasks of the route in flight, by their state.",
        &["state"],
    )?;
    let unacknowledged = of.gauges(
        "queue_unacknowledged",
        "Tasks of the route's queue that workers have and have not acknowledged, where the bridge is the broker. No series with RabbitMQ, which tells nobody.",
    )?;
    let oldest = of.seconds(
        "oldest_task_age_seconds",
        "Time since the oldest task of the route in flight was polled. 0 if there is none.",
    )?;
    let pending = of.gauges(
        "tasks_pending_at_aws",
        "Tasks that wait at AWS for a poll. No series while that is not known, and none on Step Functions, which has no such number.",
    )?;
    let work = of.gauges(
        "route_work",
        "Tasks that there are for the workers of the route: waiting at AWS, or in flight in this process. No series while that is not known.",
    )?;
    for route in routes {
        let labels = [route.route, route.source];
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let labelled = |last: &'static str| [route.route, route.source, last];
        ready.with_label_values(&labels).set(route.ready.into());
        for reason in RouteReason::ALL {
            let state = state.with_label_values(&labelled(reason.label()));
            state.set((*reason == route.reason).into());
        }
        slots.with_label_values(&labels).set(gauge(route.slots));
        let taken = slots_taken.with_label_values(&labels);
        taken.set(gauge(route.slots_taken));
        for progress in Progress::ALL {
            let in_flight = in_flight.with_label_values(&labelled(progress.label()));
            in_flight.set(gauge(route.in_flight[progress.index()]));
        }
        let age = oldest.with_label_values(&labels);
        age.set(route.oldest.as_secs_f64());
        // 0 would be taken for "nothing to do".
        for (family, tasks) in [(&pending, route.pending), (&work, route.work)] {
            if let Some(tasks) = tasks {
                let tasks = i64::try_from(tasks).unwrap_or(i64::MAX);
                family.with_label_values(&labels).set(tasks);
            }
        }
        if let Some(tasks) = route.unacknowledged {
            unacknowledged.with_label_values(&labels).set(gauge(tasks));
        }
    }
    Ok(registry.gather())
}
