//! The poll scaler: how many polls a route holds open, and how long it waits after a failed one. Pure: no clock, no
//! network.

use crate::{route::Pollers, util::Backoff};
use std::time::Duration;

/// Time within which an empty answer means that the service did not hold the poll.
const NOT_HELD_WITHIN: Duration = Duration::from_millis(500);

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// With a task.
    Task,
    /// With nothing.
    Empty,
    /// It was withdrawn before AWS heard of it.
    Withdrawn,
    /// The service throttled the poll, or too many polls are open.
    Throttled,
    /// The service could not be reached, or failed.
    Failed,
    /// The service refuses the bridge until a person does something.
    Refused,
}

/// Chooses the number of open polls, within the route's bounds.
#[derive(Debug)]
pub struct PollScaler {
    bounds: Pollers,
    busy_within: Duration,
    target: usize,
    after_fault: Backoff,
    after_refusal: Backoff,
    after_quick_empty: Backoff,
}

impl PollScaler {
    /// Begins at the lower bound. A task that comes within `busy_within` raises the number of polls by one.
    #[must_use]
    pub fn new(bounds: Pollers, busy_within: Duration) -> Self {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        Self {
            bounds,
            busy_within,
            target: bounds.min,
            after_fault: Backoff::new(ms(200), s(20)),
            after_refusal: Backoff::new(s(5), s(60)),
            after_quick_empty: Backoff::new(ms(100), s(1)),
        }
    }

    /// Changes the bounds. After a refusal one poll stays enough.
    pub fn set_bounds(&mut self, bounds: Pollers) {
        if self.target >= self.bounds.min {
            self.target = self.target.clamp(bounds.min, bounds.max);
        }
        self.bounds = bounds;
    }

    /// The number of polls that should be open.
    #[must_use]
    pub fn target(&self) -> usize {
        self.target
    }

    /// Records how a poll ended after `took`. Returns how long to wait before the next poll. `late`: the poll was begun
    /// before the last wait ended. Polls that fail together count as one failure, so a late failure does not count. A
    /// late success does.
    pub fn record(&mut self, polled: Polled, took: Duration, late: bool) -> Option<Duration> {
        if matches!(polled, Polled::Task | Polled::Empty) {
            self.after_fault.reset();
            self.after_refusal.reset();
            // After a refusal the target is 1, whatever the bounds say.
            self.target = self.target.max(self.bounds.min);
        }
        match polled {
            // It tells nothing about the service.
            Polled::Withdrawn => None,
            Polled::Task => {
                self.after_quick_empty.reset();
                if took < self.busy_within {
                    self.target = (self.target + 1).min(self.bounds.max);
                }
                None
            }
            Polled::Empty => {
                self.target = (self.target - 1).max(self.bounds.min);
                // Without this wait, a service that does not hold polls would be polled as fast as it answers.
                (took < NOT_HELD_WITHIN && !late).then(|| self.after_quick_empty.next_wait())
            }
            Polled::Throttled | Polled::Failed | Polled::Refused if late => None,
            Polled::Throttled => {
                self.target = (self.target / 2).max(self.bounds.min);
                Some(self.after_fault.next_wait())
            }
            Polled::Failed => Some(self.after_fault.next_wait()),
            Polled::Refused => {
                self.target = 1;
                Some(self.after_refusal.next_wait())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUICK: Duration = Duration::from_millis(5);
    const HELD: Duration = Duration::from_secs(60);

    fn poll_scaler() -> PollScaler {
        PollScaler::new(Pollers { min: 2, max: 5 }, NOT_HELD_WITHIN)
    }

    #[test]
    fn a_poll_that_was_withdrawn_changes_nothing() {
        let mut poll_scaler = poll_scaler();
        for _ in 0..3 {
            poll_scaler.record(Polled::Task, QUICK, false);
        }
        assert_eq!(poll_scaler.record(Polled::Withdrawn, QUICK, false), None);
        assert_eq!(poll_scaler.target(), 5);
        let first = poll_scaler.record(Polled::Refused, QUICK, false);
        for _ in 0..5 {
            poll_scaler.record(Polled::Withdrawn, QUICK, false);
            poll_scaler.record(Polled::Refused, QUICK, false);
        }
        let last = poll_scaler.record(Polled::Refused, QUICK, false);
        assert!(
            last > first.map(|first| 2 * first),
            "{first:?} {last:?}: the back-off began anew"
        );
    }

    #[test]
    fn quick_tasks_raise_the_number_of_polls_and_empty_polls_lower_it() {
        let mut poll_scaler = poll_scaler();
        for target in [3, 4, 5, 5] {
            assert_eq!(poll_scaler.record(Polled::Task, QUICK, false), None);
            assert_eq!(poll_scaler.target(), target);
        }
        poll_scaler.record(Polled::Task, HELD, false);
        assert_eq!(
            poll_scaler.target(),
            5,
            "a task that came late raised the number of polls"
        );
        for target in [4, 3, 2, 2] {
            assert_eq!(poll_scaler.record(Polled::Empty, HELD, false), None);
            assert_eq!(poll_scaler.target(), target);
        }
    }

    #[test]
    fn with_a_long_busy_time_each_task_raises_the_number_of_polls() {
        let mut poll_scaler = PollScaler::new(Pollers { min: 2, max: 100 }, HELD);
        for target in 3..=100 {
            assert_eq!(poll_scaler.record(Polled::Task, HELD / 2, false), None);
            assert_eq!(poll_scaler.target(), target);
        }
        poll_scaler.record(Polled::Empty, HELD, false);
        assert_eq!(poll_scaler.target(), 99);
    }

    #[test]
    fn a_refused_route_has_one_poll_and_long_waits_until_a_poll_succeeds() {
        let mut poll_scaler = poll_scaler();
        let wait = poll_scaler
            .record(Polled::Refused, QUICK, false)
            .expect("a wait");
        assert!(wait >= Duration::from_millis(2_500));
        assert_eq!(poll_scaler.target(), 1);
        poll_scaler.record(Polled::Empty, HELD, false);
        assert_eq!(poll_scaler.target(), 2);
    }

    #[test]
    fn each_throttled_poll_halves_the_number_of_polls_and_waits_longer() {
        let mut poll_scaler = PollScaler::new(Pollers { min: 1, max: 16 }, NOT_HELD_WITHIN);
        for _ in 0..15 {
            poll_scaler.record(Polled::Task, QUICK, false);
        }
        let waits: Vec<_> = (0..8)
            .filter_map(|_| poll_scaler.record(Polled::Throttled, QUICK, false))
            .collect();
        assert_eq!((waits.len(), poll_scaler.target()), (8, 1));
        assert!(waits[7] > waits[0]);
    }

    #[test]
    fn polls_that_fail_together_are_one_failure_and_a_success_beside_them_ends_the_back_off() {
        let mut poll_scaler = PollScaler::new(Pollers { min: 1, max: 16 }, NOT_HELD_WITHIN);
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let wait = poll_scaler.record(Polled::Throttled, QUICK, false);
            longest = longest.max(wait.expect("a wait"));
            assert_eq!(poll_scaler.record(Polled::Throttled, QUICK, true), None);
            assert_eq!(poll_scaler.record(Polled::Task, QUICK, true), None);
        }
        assert!(longest <= Duration::from_millis(200), "{longest:?}");
    }

    #[test]
    fn other_bounds_hold_at_once_but_not_for_a_refused_route() {
        let mut poll_scaler = poll_scaler();
        for (min, max, target) in [(4, 9, 4), (1, 9, 4), (1, 3, 3)] {
            poll_scaler.set_bounds(Pollers { min, max });
            assert_eq!(poll_scaler.target(), target);
        }
        poll_scaler.set_bounds(Pollers { min: 2, max: 5 });
        poll_scaler.record(Polled::Refused, QUICK, false);
        poll_scaler.set_bounds(Pollers { min: 3, max: 5 });
        assert_eq!(poll_scaler.target(), 1);
        poll_scaler.record(Polled::Empty, HELD, false);
        assert_eq!(poll_scaler.target(), 3);
    }

    #[test]
    fn an_empty_answer_at_once_is_followed_by_a_wait() {
        assert!(poll_scaler().record(Polled::Empty, QUICK, false).is_some());
    }

    proptest! {
        #[test]
        fn the_target_stays_within_its_bounds(polls in prop::collection::vec((0..5_u8, 0..70_u64), 0..100)) {
            let mut poll_scaler = poll_scaler();
            for (kind, secs) in polls {
                let polled = [Polled::Task, Polled::Empty, Polled::Throttled, Polled::Failed, Polled::Refused];
                poll_scaler.record(polled[usize::from(kind)], Duration::from_secs(secs), false);
                prop_assert!((1..=5).contains(&poll_scaler.target()));
            }
        }
    }
}
