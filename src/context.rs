//! What all the parts of a running bridge share.

use crate::{
    broker::Broker,
    inflight::{InflightTable, OwnershipCheck},
    metrics::Metrics,
    route::Route,
    store::Store,
    trace::Tracer,
    util::supervise::Supervisor,
};
use std::sync::Arc;

/// The seams, and the table of flights between them.
pub struct Bridge {
    /// Where messages go and replies come from.
    pub broker: Arc<dyn Broker>,
    /// What a crash must not forget.
    pub store: Arc<dyn Store>,
    /// All routes.
    pub routes: Vec<Arc<Route>>,
    /// The tasks in flight.
    pub inflight: InflightTable,
    /// Whether they are still this process's.
    pub ownership: OwnershipCheck,
    /// What is counted for the process as a whole.
    pub metrics: Metrics,
    /// What makes spans, where they are configured.
    pub tracer: Tracer,
    /// What ends the process where a loop ends or a task of the runtime panics.
    pub supervisor: Supervisor,
}

impl Bridge {
    /// The route of this name, if it is configured.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.name() == name)
    }
}
