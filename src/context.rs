//! What all loops of a running bridge share.

use crate::{
    broker::Broker,
    inflight::{InflightTable, LostQueues, OwnershipCheck},
    metrics::Metrics,
    route::{Route, Routes},
    store::{Record, Store},
    trace::Tracer,
    util::{log_tally::LogTally, supervise::Supervisor},
};
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore};

/// Maximum number of replies that wait to be parked while that fails. The others are put back into their queue, so that
/// replies to tasks are read.
pub const MAX_PARK_RETRIES: usize = 10;

/// The shared state: broker, store and routes, and the table of tasks in flight.
pub struct Bridge {
    /// The broker: messages go to it, and replies come from it.
    pub broker: Arc<dyn Broker>,
    /// The token store.
    pub store: Arc<dyn Store>,
    /// All routes.
    pub routes: Routes,
    /// The tasks in flight.
    pub inflight: InflightTable,
    /// The queues that the broker has lost.
    pub lost_queues: LostQueues,
    /// Whether this process still owns its tasks in flight.
    pub ownership: OwnershipCheck,
    /// Held while tasks of dead processes are adopted. A drain waits for that.
    pub adopting: Mutex<()>,
    /// The places of replies that wait to be parked while that fails. See [`MAX_PARK_RETRIES`].
    pub park_retries: Semaphore,
    /// The limit on log lines about replies that can't be used.
    pub unusable: LogTally,
    /// The metrics of the whole process.
    pub metrics: Metrics,
    /// The maker of spans.
    pub tracer: Tracer,
    /// What ends the process where a loop ends or a task of the runtime panics.
    pub supervisor: Supervisor,
}

impl Bridge {
    /// The route with this name; `None` if it is not configured.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<Arc<Route>> {
        self.routes.get(name)
    }

    /// The route of the task with this record; `None` if it is not configured, or polls another service now.
    #[must_use]
    pub fn route_of(&self, record: &Record) -> Option<Arc<Route>> {
        let route = self.route(&record.route);
        route.filter(|route| route.own().has(record))
    }
}
