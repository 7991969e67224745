//! Dead letters: task messages that the broker could not deliver, and how such a task ends.

use super::outcome::{Outcome, OwnFailure};
use crate::util::labels;

/// A task's message that came back from a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why the message came back.
    pub death: Death,
    /// The queue that the message was in.
    pub queue: String,
}

labels! {
    /// Why a message was dead-lettered.
    pub enum Death {
        /// A worker rejected the message without a requeue.
        Rejected = "rejected",
        /// The message expired before a worker took it.
        Expired = "expired",
        /// The message reached the delivery limit of its queue.
        DeliveryLimit = "delivery-limit",
        /// The queue was full and dropped the message.
        Dropped = "dropped",
    }
}

impl Death {
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
    /// The outcome of the task. `delivery_limit` is the limit of the queue, if the bridge knows it.
    #[must_use]
    pub fn outcome(&self, delivery_limit: Option<u64>) -> Outcome {
        let mut details = format!("queue {}", self.queue);
        if self.death == Death::DeliveryLimit
            && let Some(limit) = delivery_limit
        {
            details.push_str(&format!(", delivery limit {limit}"));
        }
        Outcome::failed_with(OwnFailure::DeadLetter, self.death.reason(), details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_says_why_and_where_and_the_limit_if_it_is_known() {
        for (death, limit, reason, details) in [
            (
                Death::Rejected,
                Some(20),
                "rejected by a worker",
                "queue payments",
            ),
            (
                Death::Expired,
                Some(20),
                "expired in the queue",
                "queue payments",
            ),
            (
                Death::DeliveryLimit,
                Some(20),
                "the broker's delivery limit was reached",
                "queue payments, delivery limit 20",
            ),
            (
                Death::DeliveryLimit,
                None,
                "the broker's delivery limit was reached",
                "queue payments",
            ),
            (
                Death::Dropped,
                Some(20),
                "dropped from a full queue",
                "queue payments",
            ),
        ] {
            let dead = DeadLetter {
                death,
                queue: "payments".to_owned(),
            };
            let expected = Outcome::failed_with(OwnFailure::DeadLetter, reason, details);
            assert_eq!(dead.outcome(limit), expected, "{death:?}");
        }
    }
}
