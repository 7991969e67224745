//! Dead letters: what the broker says of a task's message that it will not deliver, and how the task ends with it.

use super::outcome::{Outcome, OwnFailure};
use crate::util::labels;

/// A task's message, as it came back from a queue that could not hand it to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why it came back.
    pub death: Death,
    /// The queue that it was in.
    pub queue: String,
}

labels! {
    /// Why a message died.
    pub enum Death {
        /// A worker rejected it, and did not want it back in the queue.
        Rejected = "rejected",
        /// Nobody took it in time.
        Expired = "expired",
        /// It was delivered as often as the queue allows.
        DeliveryLimit = "delivery-limit",
        /// The queue was full and made room.
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
    /// How the task ends. `delivery_limit`: the limit of its queue, where the bridge knows it.
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
    fn the_workflow_learns_why_and_where_and_a_limit_that_is_known() {
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
