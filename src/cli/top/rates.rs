//! What two looks at the bridge say about the time between them.

use crate::{admin::status::Status, metrics::RouteTotals};

/// The rates between two looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    /// The number of tasks that ended in a second.
    pub(super) ended_per_sec: f64,
    /// The mean time from the poll to the end, in seconds; `None` if no task ended.
    pub(super) duration_secs: Option<f64>,
}

impl Rates {
    /// The rates of these counters; `None` if the looks are of different processes, or of the same moment.
    fn between(
        from: &Status,
        to: &Status,
        of: impl Fn(&Status) -> Option<RouteTotals>,
    ) -> Option<Self> {
        let secs = to.uptime_secs - from.uptime_secs;
        let (from, to) = (of(from)?, of(to)?);
        let ended = to.ended.checked_sub(from.ended)? as f64;
        let sum = to.duration_secs - from.duration_secs;
        (secs > 0.0).then(|| Self {
            ended_per_sec: ended / secs,
            duration_secs: (ended > 0.0).then(|| sum / ended),
        })
    }

    /// Those of a route.
    pub(super) fn of_route(from: &Status, to: &Status, name: &str) -> Option<Self> {
        let totals = |status: &Status| {
            let route = status.routes.iter().find(|route| route.name == name);
            route.map(|route| route.totals)
        };
        Self::between(from, to, totals)
    }

    /// Those of all routes together.
    pub(super) fn of_all(from: &Status, to: &Status) -> Option<Self> {
        let totals = |status: &Status| {
            let mut sum = RouteTotals::default();
            for route in &status.routes {
                sum.ended += route.totals.ended;
                sum.duration_secs += route.totals.duration_secs;
            }
            Some(sum)
        };
        Self::between(from, to, totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::status::shape::RouteStatus;

    fn seen(uptime_secs: f64, ended: u64, duration_secs: f64) -> Status {
        let route = RouteStatus {
            name: "payments".to_owned(),
            totals: RouteTotals {
                ended,
                duration_secs,
                ..RouteTotals::default()
            },
            ..RouteStatus::default()
        };
        Status {
            uptime_secs,
            routes: vec![route],
            ..Status::default()
        }
    }

    #[test]
    fn two_looks_give_a_rate_and_a_mean_time() {
        let (from, to) = (seen(10.0, 100, 50.0), seen(12.0, 104, 58.0));
        let expected = Some(Rates {
            ended_per_sec: 2.0,
            duration_secs: Some(2.0),
        });
        assert_eq!(Rates::of_route(&from, &to, "payments"), expected);
        assert_eq!(Rates::of_all(&from, &to), expected);
        assert_eq!(Rates::of_route(&from, &to, "mail"), None);
        let idle = Rates::of_all(&to, &seen(14.0, 104, 58.0)).expect("rates");
        assert_eq!((idle.ended_per_sec, idle.duration_secs), (0.0, None));
    }

    #[test]
    fn looks_at_two_processes_give_none() {
        let (old, new) = (seen(500.0, 100, 50.0), seen(1.0, 3, 2.0));
        assert_eq!(Rates::of_all(&old, &new), None);
        assert_eq!(Rates::of_all(&old, &old), None);
    }
}
