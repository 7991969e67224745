//! What an acknowledgement does to the tasks of a queue.

use super::custody_terms::{AckMode, Terms};
use crate::broker::TaskQueue;

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
