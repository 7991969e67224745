//! How fast one API call may be made, learnt from how AWS answers it. Pure: no clock, no waiting.

use std::time::Duration;
use tokio::time::Instant;

/// How AWS answered a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With anything but a throttle, be it an error: the call was let through.
    Accepted,
    /// With a throttle.
    Throttled,
    /// Not at all, or not so that it says anything about the rate.
    Other,
}

/// After a throttle: this much of what was being accepted, so that the service's own bucket fills a little.
const LOWERED_TO: f64 = 0.85;

/// At most one step down in this time: the throttles that come together are one piece of news.
const BETWEEN_STEPS_DOWN: Duration = Duration::from_millis(500);

/// No limit is lower, in calls per second, so that there is always a next call to learn from.
const LEAST: f64 = 1.0;

/// The growth at first, as a share of the rate in a second …
const GROWTH: f64 = 0.05;

/// … which has doubled so many seconds after the last step down, and grows with their square.
const DOUBLED_AFTER: f64 = 4.0;

/// A limit that has kept nobody waiting for this long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// Calls that a late timer held up are caught up with, this far back. Nothing else is ever sent in a burst.
const CATCH_UP: Duration = Duration::from_millis(10);

/// The pace of one API call: none until AWS throttles it.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Accepted calls per second: each counts one when it is answered, and fades away over about a second.
    accepted: f64,
    faded_at: Instant,
    limit: Option<Limit>,
}

#[derive(Debug)]
struct Limit {
    /// Calls per second.
    rate: f64,
    /// When the next call may begin.
    next: Instant,
    lowered_at: Instant,
    raised_at: Instant,
    /// When a call last had to wait.
    bound_at: Instant,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            accepted: 0.0,
            faded_at: now,
            limit: None,
        }
    }

    /// When the next call may begin; `None` where there is no limit.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.limit.as_ref().map(|limit| limit.next)
    }

    /// How long so many calls take at the present pace.
    pub(crate) fn time_for(&self, calls: usize) -> Duration {
        let limit = self.limit.as_ref();
        limit.map_or(Duration::ZERO, |limit| {
            Duration::from_secs_f64(calls as f64 / limit.rate)
        })
    }

    /// A call begins, which may have `waited` for it. The next may begin so many `steps` of the pace later.
    pub(crate) fn begin(&mut self, steps: u32, waited: bool, now: Instant) {
        let Some(limit) = &mut self.limit else {
            return;
        };
        if waited {
            limit.bound_at = now;
        } else if now - limit.bound_at > FORGOTTEN_AFTER {
            self.limit = None;
            return;
        }
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        limit.next = limit.next.max(earliest) + limit.interval() * steps;
    }

    /// Learns from the answer to a call that began at `begun`.
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

    /// A call that had to wait was accepted: there may be room for more. There is no such news where most of the
    /// rate goes unused.
    fn raise(&mut self, now: Instant) {
        let Some(limit) = &mut self.limit else {
            return;
        };
        if self.accepted < limit.rate / 2.0 {
            return;
        }
        let quiet = (now - limit.lowered_at).as_secs_f64() / DOUBLED_AFTER;
        let since = (now - limit.raised_at).as_secs_f64().min(1.0);
        let growth = (GROWTH * (1.0 + quiet * quiet)).min(1.0);
        limit.rate *= 1.0 + growth * since;
        limit.raised_at = now;
    }

    fn lower(&mut self, begun: Instant, now: Instant) {
        self.fade(now);
        let mut rate = self.accepted * LOWERED_TO;
        if let Some(limit) = &self.limit {
            // It was sent at the pace before the last step.
            if begun <= limit.lowered_at || now - limit.lowered_at < BETWEEN_STEPS_DOWN {
                return;
            }
            // Where few calls were made of late, few were accepted: that alone is no reason for a deep fall.
            rate = rate.clamp(limit.rate / 2.0, limit.rate);
        }
        let mut limit = Limit {
            rate: rate.max(LEAST),
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
    fn throttles_that_come_together_are_one_step_down_and_a_quiet_time_is_no_deep_fall() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut pace = Pace::new(start);
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
}
