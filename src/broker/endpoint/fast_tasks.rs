//! Counts the messages that a queue's consumers were done with quickly: what `max_ready = "auto"` lets wait. Pure: the time is
//! passed in.

use std::time::Duration;
use tokio::time::Instant;

/// Time within which a consumer is done with a message that counts. A slower one gains nothing from a message that waits.
const FAST: Duration = Duration::from_secs(1);

/// Number of intervals of the last second.
const INTERVALS: usize = 10;

/// Length of one interval.
const INTERVAL: Duration = Duration::from_millis(100);

/// The messages of the last second, counted by intervals, so that it takes the same memory at any rate.
#[derive(Debug)]
pub struct FastTasks {
    start: Instant,
    /// The number of the interval of the last count, from the start.
    newest: u128,
    counts: [u64; INTERVALS],
}

impl FastTasks {
    /// None so far.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            newest: 0,
            counts: [0; INTERVALS],
        }
    }

    /// Notes that a consumer is done with a message that it got at `delivered`.
    pub fn done(&mut self, delivered: Instant, now: Instant) {
        if now.saturating_duration_since(delivered) < FAST {
            let place = self.advance(now);
            self.counts[place] += 1;
        }
    }

    /// The number of messages of the last second that count.
    pub fn last_second(&mut self, now: Instant) -> u64 {
        self.advance(now);
        self.counts.iter().sum()
    }

    /// Empties the intervals that have passed. Returns the place of the present one.
    fn advance(&mut self, now: Instant) -> usize {
        let interval = now.saturating_duration_since(self.start).as_millis() / INTERVAL.as_millis();
        let place = |number: u128| usize::try_from(number % INTERVALS as u128).unwrap_or(0);
        if interval.saturating_sub(self.newest) >= INTERVALS as u128 {
            self.counts = [0; INTERVALS];
            self.newest = interval;
        }
        while self.newest < interval {
            self.newest += 1;
            self.counts[place(self.newest)] = 0;
        }
        place(self.newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slow_messages_do_not_count_however_many_there_are() {
        let start = Instant::now();
        let mut fast = FastTasks::new(start);
        for n in 0..100 {
            let delivered = start + Duration::from_millis(n);
            fast.done(delivered, delivered + FAST);
        }
        assert_eq!(fast.last_second(start + Duration::from_millis(1_100)), 0);
    }

    #[test]
    fn fast_messages_count_for_a_second() {
        let start = Instant::now();
        let mut fast = FastTasks::new(start);
        let at = |ms| start + Duration::from_millis(ms);
        for n in 0..20 {
            fast.done(at(n * 50), at(n * 50 + 40));
        }
        assert_eq!(fast.last_second(at(999)), 20);
        assert_eq!(fast.last_second(at(1_499)), 10);
        assert_eq!(fast.last_second(at(2_000)), 0);
    }

    proptest! {
        #[test]
        fn the_count_is_right_but_for_one_interval(gaps in prop::collection::vec(0..400_u64, 0..100)) {
            let start = Instant::now();
            let mut fast = FastTasks::new(start);
            let mut times = Vec::new();
            let mut now = 0;
            for gap in gaps {
                now += gap;
                times.push(now);
                let at = start + Duration::from_millis(now);
                fast.done(at, at);
                let within = |ms: u64| times.iter().filter(|time| now - **time < ms).count() as u64;
                let counted = fast.last_second(at);
                prop_assert!((within(900)..=within(1_000)).contains(&counted), "{counted} at {now}");
            }
        }
    }
}
