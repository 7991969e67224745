//! A route's queue as the routes tell it to the bridge as the broker.

use std::time::Duration;

/// A queue of tasks, and what its route says about deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskQueue {
    /// The name of the queue.
    pub name: String,
    /// The name of the route.
    pub route: String,
    /// Whether a bare acknowledgement completes its task.
    pub completes: bool,
    /// Whether the configuration says what an acknowledgement means.
    pub is_written: bool,
    /// How long a bare acknowledgement waits for a reply before it completes its task.
    pub ack_grace: Duration,
    /// Timeout for an acknowledgement.
    pub ack_timeout: Option<Duration>,
    /// Maximum number of failed deliveries of a task.
    pub delivery_limit: Option<u64>,
}
