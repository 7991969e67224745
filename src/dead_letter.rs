//! Dead letters: what the broker says of a task's message that it will not deliver, and how the task ends with it.

use crate::{
    broker::QueueSpec,
    task::{Outcome, OwnFailure},
};

/// A task's message, as it came back from a queue that could not hand it to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why it came back.
    pub death: Death,
    /// The queue that it was in.
    pub queue: String,
}

/// Why a message died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// A worker rejected it, and did not want it back in the queue.
    Rejected,
    /// Nobody took it in time.
    Expired,
    /// It was delivered as often as the queue allows.
    DeliveryLimit,
    /// The queue was full and made room.
    Dropped,
}

impl Death {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Rejected,
        Self::Expired,
        Self::DeliveryLimit,
        Self::Dropped,
    ];

    /// From RabbitMQ's word for it; `maxlen`, and whatever may be added to them, count as dropped.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "rejected" => Self::Rejected,
            "expired" => Self::Expired,
            "delivery_limit" => Self::DeliveryLimit,
            _ => Self::Dropped,
        }
    }

    /// The label for metrics.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::DeliveryLimit => "delivery-limit",
            Self::Dropped => "dropped",
        }
    }

    /// The reason that the workflow sees.
    fn reason(self) -> &'static str {
        match self {
            Self::Rejected => "rejected by a worker",
            Self::Expired => "expired in the queue",
            Self::DeliveryLimit => "the broker's delivery limit was reached",
            Self::Dropped => "dropped from a full queue",
        }
    }
}

impl DeadLetter {
    /// How the task ends. The limit is told where the bridge declared the queue, and so knows it.
    #[must_use]
    pub fn outcome(&self, queue: Option<&QueueSpec>) -> Outcome {
        let mut details = format!("queue {}", self.queue);
        if self.death == Death::DeliveryLimit
            && let Some(queue) = queue
            && queue.name == self.queue
            && let Some(declared) = queue.declare
        {
            details.push_str(&format!(", delivery limit {}", declared.delivery_limit));
        }
        Outcome::failed_with(OwnFailure::DeadLetter, self.death.reason(), details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::QueueArguments;

    #[test]
    fn the_workflow_learns_why_and_where_and_the_limit_of_a_queue_of_ours() {
        let queue = QueueSpec {
            name: "payments".to_owned(),
            declare: Some(QueueArguments {
                dead_letters: true,
                delivery_limit: 20,
            }),
        };
        for (word, queue_name, reason, details) in [
            (
                "rejected",
                "payments",
                "rejected by a worker",
                "queue payments",
            ),
            (
                "expired",
                "payments",
                "expired in the queue",
                "queue payments",
            ),
            (
                "delivery_limit",
                "payments",
                "the broker's delivery limit was reached",
                "queue payments, delivery limit 20",
            ),
            (
                "delivery_limit",
                "another",
                "the broker's delivery limit was reached",
                "queue another",
            ),
            (
                "maxlen",
                "payments",
                "dropped from a full queue",
                "queue payments",
            ),
        ] {
            let dead = DeadLetter {
                death: Death::of(word),
                queue: queue_name.to_owned(),
            };
            let expected = Outcome::failed_with(OwnFailure::DeadLetter, reason, details);
            assert_eq!(dead.outcome(Some(&queue)), expected, "{word}");
        }
    }
}
