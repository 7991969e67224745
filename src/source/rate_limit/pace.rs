//! The rate at which one operation may be called, learnt from AWS's answers. Pure: it has no clock and does not wait.
//!
//! The rate falls after a throttle, and rises while callers wait and AWS accepts their calls. A limit that no caller has had
//! to wait for is dropped after a while.

use std::time::Duration;
use tokio::time::Instant;

/// How AWS answered a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// AWS let the call through. The answer may be an error.
    Accepted,
    /// AWS throttled the call.
    Throttled,
    /// AWS did not answer, or the answer says nothing about the rate.
    Other,
}

/// Factor of the new rate after a throttle, of the rate of accepted calls. It is below 1 so that AWS's bucket fills again.
const THROTTLED_FACTOR: f64 = 0.85;

/// Minimum interval between two reductions of the rate. Throttles that come together count once.
const REDUCTION_INTERVAL: Duration = Duration::from_millis(500);

/// Growth of the rate in a second right after a reduction, as a share of the rate.
const GROWTH: f64 = 0.05;

/// Time after a reduction at which [`GROWTH`] has doubled, in seconds. The growth increases with the square of the time.
const GROWTH_DOUBLED_AFTER: f64 = 4.0;

/// Time after which a limit is dropped if no caller had to wait for it.
const UNUSED_LIMIT_TTL: Duration = Duration::from_secs(30);

/// Maximum time for which calls that a late timer delayed are made up for. Nothing else is sent in a burst.
const MAX_CATCH_UP: Duration = Duration::from_millis(10);

/// The pace of one operation. It has no limit until AWS throttles the operation.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Minimum rate, in calls per second.
    min_rate: f64,
    /// Accepted calls per second. Each call counts 1 when it is answered and then decays over about a second.
    accepted: f64,
    faded_at: Instant,
    limit: Option<Limit>,
}

#[derive(Debug)]
struct Limit {
    /// The rate, in calls per second.
    rate: f64,
    /// When the next call may begin.
    next: Instant,
    lowered_at: Instant,
    raised_at: Instant,
    /// When a call last had to wait.
    bound_at: Instant,
}

impl Pace {
    pub(crate) fn new(min_rate: f64, now: Instant) -> Self {
        Self {
            min_rate,
            accepted: 0.0,
            faded_at: now,
            limit: None,
        }
    }

    /// When the next call may begin; `None` if there is no limit.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.limit.as_ref().map(|limit| limit.next)
    }

    /// How long this number of calls takes at the present rate.
    pub(crate) fn time_for(&self, calls: usize) -> Duration {
        let limit = self.limit.as_ref();
        limit.map_or(Duration::ZERO, |limit| {
            Duration::from_secs_f64(calls as f64 / limit.rate)
        })
    }

    /// Notes that a call begins. `waited` says whether its caller had to wait. The next call may begin `steps` intervals later,
    /// but never later than the minimum rate says.
    pub(crate) fn begin(&mut self, steps: u32, waited: bool, now: Instant) {
        let Some(limit) = &mut self.limit else {
            return;
        };
        if waited {
            limit.bound_at = now;
        } else if now - limit.bound_at > UNUSED_LIMIT_TTL {
            self.limit = None;
            return;
        }
        let earliest = now.checked_sub(MAX_CATCH_UP).unwrap_or(now);
        let longest = Duration::from_secs_f64(1.0 / self.min_rate);
        limit.next = limit.next.max(earliest) + (limit.interval() * steps).min(longest);
    }

    /// Notes the answer to a call that began at `begun`.
    pub(crate) fn observe(&mut self, answer: Answer, begun: Instant, waited: bool, now: Instant) {
        match answer {
            Answer::Accepted => {
                self.fade(now);
                self.accepted += 1.0;
                if waited {
                    self.raise(now);
                }
            }
            Answer::Throttled => self.lower(begun, now),
            Answer::Other => {}
        }
    }

    fn fade(&mut self, now: Instant) {
        self.accepted *= (-(now - self.faded_at).as_secs_f64()).exp();
        self.faded_at = now;
    }

    /// Raises the rate after AWS accepted a call that had to wait. If most of the rate is unused, that says nothing and the
    /// rate stays.
    fn raise(&mut self, now: Instant) {
        let Some(limit) = &mut self.limit else {
            return;
        };
        if self.accepted < limit.rate / 2.0 {
            return;
        }
        let quiet = (now - limit.lowered_at).as_secs_f64() / GROWTH_DOUBLED_AFTER;
        let since = (now - limit.raised_at).as_secs_f64().min(1.0);
        let growth = (GROWTH * (1.0 + quiet * quiet)).min(1.0);
        limit.rate *= 1.0 + growth * since;
        limit.raised_at = now;
    }

    fn lower(&mut self, begun: Instant, now: Instant) {
        self.fade(now);
        let mut rate = self.accepted * THROTTLED_FACTOR;
        if let Some(limit) = &self.limit {
            // The call was sent at the rate before the last reduction.
            if begun <= limit.lowered_at || now - limit.lowered_at < REDUCTION_INTERVAL {
                return;
            }
            // If few calls were made lately, few were accepted. That alone is no reason for a deep reduction.
            rate = rate.clamp(limit.rate / 2.0, limit.rate);
        }
        let mut limit = Limit {
            rate: rate.max(self.min_rate),
            next: now,
            lowered_at: now,
            raised_at: now,
            bound_at: now,
        };
        limit.next += limit.interval();
        self.limit = Some(limit);
    }
}

impl Limit {
    fn interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(pace: &Pace) -> f64 {
        pace.limit
            .as_ref()
            .map_or(f64::INFINITY, |limit| limit.rate)
    }

    #[test]
    fn throttles_that_come_together_reduce_the_rate_once_and_a_quiet_time_reduces_it_little() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut pace = Pace::new(1.0, start);
        for n in 0..300 {
            pace.observe(Answer::Accepted, start, false, start + ms(20 * n));
        }
        let begun = start + ms(6_000);
        for late in 1..=50 {
            pace.observe(Answer::Throttled, begun, false, begun + ms(late * 20));
        }
        let first = rate(&pace);
        assert!((40.0..45.0).contains(&first), "0.85 of 50: {first}");
        let later = begun + ms(10_000);
        pace.observe(Answer::Throttled, later, false, later + ms(5));
        assert!((rate(&pace) - first / 2.0).abs() < 0.01);
    }

    #[test]
    fn no_throttle_lowers_the_rate_below_its_minimum() {
        let (start, sec) = (Instant::now(), Duration::from_secs(1));
        for min_rate in [1.0, 10.0] {
            let mut pace = Pace::new(min_rate, start);
            for n in 1..100 {
                let now = start + sec * n;
                pace.observe(Answer::Throttled, now, true, now);
                assert!((rate(&pace) - min_rate).abs() < 0.01, "{}", rate(&pace));
            }
        }
    }
}
