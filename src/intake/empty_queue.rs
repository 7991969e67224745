//! Notices tasks that wait for a worker and that can't be in their queue, because somebody purged it.
//!
//! A purge leaves the queue as if workers had taken everything. So it can't be seen with certainty: a worker may have a task and not
//! have said so. If there is no worker either, a person is told.

use crate::{
    broker::{Destination, Durability, Readiness},
    context::Bridge,
    route::Route,
};
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

/// Time for which a queue is empty and without consumers until tasks that wait in it are said to be missing.
const EMPTY_TIME: Duration = Duration::from_secs(60);

/// Since when a route's queue is empty and without consumers.
#[derive(Default, PartialEq, Eq)]
pub(super) struct EmptyQueue {
    since: Option<Instant>,
    told: bool,
}

impl EmptyQueue {
    /// What is known after the route's queue was seen.
    pub(super) fn observed(mut self, bridge: &Bridge, route: &Route, now: &Readiness) -> Self {
        // Where an exchange of the operator's decides, the tasks may be in other queues. A broker that keeps no messages knows
        // where each task is.
        let is_known = matches!(route.config.destination, Destination::Queue(_))
            && bridge.broker.durability() == Durability::Durable;
        if !is_known {
            return self;
        }
        if now.ready > 0 || now.consumers > 0 {
            return Self::default();
        }
        let since = self.since.get_or_insert_with(Instant::now);
        let tasks = match since.elapsed() < EMPTY_TIME {
            true => 0,
            false => bridge.inflight.waiting_for(route, EMPTY_TIME),
        };
        route.set_missing(tasks);
        if tasks > 0 && !self.told {
            self.told = true;
            let (route, to) = (route.name(), &route.config.destination);
            warn!(
                route,
                %to,
                tasks,
                "tasks wait for a worker, but their queue has been empty and without consumers for a minute; was it purged?"
            );
        }
        self
    }
}
