//! The metrics, for Prometheus. The set of labels is closed, and every series that counts exists from the start with the value 0.
//!
//! This folder owns the names, the labels and the counters. The loops decide when something is counted.

mod by_label;
mod families;
mod labels;
mod process;
mod register;
mod registry;
mod route;
mod scraped;
mod totals;

pub use labels::{
    DeliveryEvent, Fault, HeartbeatOutcome, Leg, PollOutcome, PublishOutcome, ReplyKind,
    RouteReason,
};
pub use registry::Metrics;
pub use route::RouteMetrics;
pub use scraped::RouteSnapshot;
pub use totals::{LegTotals, QueueSeen, RouteTotals};
