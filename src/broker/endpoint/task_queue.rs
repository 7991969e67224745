//! A route's queue as the routes tell it to the endpoint, and what an acknowledgement does there.

use super::custody_terms::{AckMode, Terms};
use std::time::Duration;

/// A queue of tasks, and what its route says about deliveries.
#[derive(Clone, Debug)]
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

impl TaskQueue {
    pub(super) fn terms(&self) -> Terms {
        let written = self.is_written;
        Terms {
            route: self.route.as_str().into(),
            ack: match self.completes {
                true => AckMode::Completes { written },
                false => AckMode::Releases,
            },
            ack_grace: self.ack_grace,
            ack_timeout: self.ack_timeout,
            delivery_limit: self
                .delivery_limit
                .map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
        }
    }
}

/// What an acknowledgement does, for each route if they differ.
pub(super) fn acks(queues: &[TaskQueue]) -> String {
    let label = |queue: &TaskQueue| match queue.completes {
        true => "completes",
        false => "releases",
    };
    let first = queues.first().map_or("completes", label);
    if queues.iter().all(|queue| label(queue) == first) {
        return first.to_owned();
    }
    let each: Vec<_> = queues
        .iter()
        .map(|queue| format!("{} {}", queue.route, label(queue)))
        .collect();
    each.join(", ")
}
