//! What all the parts of a running bridge share.

use crate::{broker::Broker, flights::Flights, metrics::Metrics, store::Store, trace::Tracer};
use std::sync::Arc;

/// The seams, and the table of flights between them.
pub struct Bridge {
    /// Where messages go and replies come from.
    pub broker: Arc<dyn Broker>,
    /// What a crash must not forget.
    pub store: Arc<dyn Store>,
    /// The tasks in flight.
    pub flights: Flights,
    /// What is counted for the process as a whole.
    pub metrics: Metrics,
    /// What makes spans, where they are configured.
    pub tracer: Tracer,
}
