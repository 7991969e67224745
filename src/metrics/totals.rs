//! What was counted of a route, in a few numbers for people.

use super::{
    labels::{Leg, PollOutcome},
    route::RouteMetrics,
};
use crate::{
    task::{OutcomeKind, SettleEnd},
    util::Label,
};
use prometheus::IntGauge;
use serde::{Deserialize, Serialize};

/// What was counted of a route since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteTotals {
    /// Polls that brought a task.
    pub polled: u64,
    /// Polls that failed.
    pub polls_failed: u64,
    /// Outcomes `completed` and `canceled` that AWS accepted.
    pub completed: u64,
    /// Outcomes `failed` that AWS accepted.
    pub failed: u64,
    /// Outcomes that AWS did not take.
    pub not_taken: u64,
    /// The number of tasks whose time from the poll to the end is in `duration_secs`.
    pub ended: u64,
    /// The sum of these times, in seconds.
    pub duration_secs: f64,
}

/// What was counted of one leg of the way of a route's tasks since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LegTotals {
    /// The label of the leg.
    pub leg: String,
    /// The number of tasks that have come through it.
    pub tasks: u64,
    /// The sum of their times, in seconds.
    pub secs: f64,
}

/// What was last seen of a route's queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSeen {
    /// Messages that wait.
    pub ready: u64,
    /// Consumers.
    pub consumers: u64,
    /// How many more messages the consumers take; 0 where the broker does not tell.
    pub credit: u64,
}

impl RouteMetrics {
    /// The totals since the start.
    #[must_use]
    pub fn totals(&self) -> RouteTotals {
        let polls = |outcome: PollOutcome| self.polls[outcome].get();
        let failed = PollOutcome::ALL
            .iter()
            .copied()
            .filter(|outcome| !matches!(outcome, PollOutcome::Empty | PollOutcome::Task));
        let settled = |kind: OutcomeKind, end: SettleEnd| self.settlements[kind][end].get();
        let accepted = |kind| settled(kind, SettleEnd::Accepted);
        let every = OutcomeKind::ALL
            .iter()
            .flat_map(|kind| SettleEnd::ALL.iter().map(move |end| (*kind, *end)));
        let refused = every.filter(|(_, end)| *end != SettleEnd::Accepted);
        let durations = || SettleEnd::ALL.iter().map(|end| &self.durations[*end]);
        RouteTotals {
            polled: polls(PollOutcome::Task),
            polls_failed: failed.map(polls).sum(),
            completed: accepted(OutcomeKind::Completed) + accepted(OutcomeKind::Canceled),
            failed: accepted(OutcomeKind::Failed),
            not_taken: refused.map(|(kind, end)| settled(kind, end)).sum(),
            ended: durations().map(|one| one.get_sample_count()).sum(),
            duration_secs: durations().map(|one| one.get_sample_sum()).sum(),
        }
    }

    /// Of each leg of a task's way: how many tasks have come through it, and the sum of their times.
    #[must_use]
    pub fn legs(&self) -> Vec<LegTotals> {
        let totals = |leg: &Leg| LegTotals {
            leg: leg.label().to_owned(),
            tasks: self.legs[*leg].get_sample_count(),
            secs: self.legs[*leg].get_sample_sum(),
        };
        Leg::ALL.iter().map(totals).collect()
    }

    /// What was last seen of the queue.
    #[must_use]
    pub fn queue(&self) -> QueueSeen {
        let number = |gauge: &IntGauge| u64::try_from(gauge.get()).unwrap_or_default();
        QueueSeen {
            ready: number(&self.queue_ready),
            consumers: number(&self.queue_consumers),
            credit: number(&self.queue_credit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use std::time::Duration;

    #[test]
    fn the_totals_are_the_sums_of_the_counters() {
        let metrics = Metrics::new().expect("well-formed names");
        let route = metrics.for_route("payments", "swf");
        for outcome in PollOutcome::ALL {
            route.polled(*outcome);
        }
        for (kind, end) in [
            (OutcomeKind::Completed, SettleEnd::Accepted),
            (OutcomeKind::Canceled, SettleEnd::Accepted),
            (OutcomeKind::Failed, SettleEnd::Accepted),
            (OutcomeKind::Completed, SettleEnd::Gone),
            (OutcomeKind::Failed, SettleEnd::Rejected),
        ] {
            route.settled(kind, end);
            route.ended(end, Duration::from_secs(2));
        }
        let expected = RouteTotals {
            polled: 1,
            polls_failed: PollOutcome::ALL.len() as u64 - 2,
            completed: 2,
            failed: 1,
            not_taken: 2,
            ended: 5,
            duration_secs: 10.0,
        };
        assert_eq!(route.totals(), expected);
        route.leg(Leg::Work, Duration::from_secs(3));
        route.leg(Leg::Work, Duration::from_secs(4));
        let work = route.legs().into_iter().find(|leg| leg.leg == "work");
        let work = work.expect("each leg is there");
        assert_eq!((work.tasks, work.secs), (2, 7.0));
        route.queue_seen(3, 2, 1);
        let seen = QueueSeen {
            ready: 3,
            consumers: 2,
            credit: 1,
        };
        assert_eq!(route.queue(), seen);
    }
}
