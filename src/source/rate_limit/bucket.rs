//! A token bucket for an operation whose rate is known. Pure: it has no clock and does not wait.

use std::time::Duration;
use tokio::time::Instant;

/// A bucket that is full at first.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Interval between two tokens.
    interval: Duration,
    /// The time that a full bucket is ahead: the interval times the tokens of a burst, without the first one.
    ahead: Duration,
    /// When the next token is there. It is in the past while the bucket is not empty.
    next: Option<Instant>,
}

impl Bucket {
    /// A bucket of `burst` tokens that gains one in each interval.
    pub(crate) const fn new(interval: Duration, burst: u32) -> Self {
        Self {
            interval,
            ahead: interval.saturating_mul(burst.saturating_sub(1)),
            next: None,
        }
    }

    /// Takes a token. Returns when it may be used; `None` if that is later than `max_wait` from now, and then no token is taken.
    pub(crate) fn take(&mut self, max_wait: Duration, now: Instant) -> Option<Instant> {
        let full = now.checked_sub(self.ahead).unwrap_or(now);
        let token = self.next.map_or(full, |next| next.max(full));
        if token > now + max_wait {
            return None;
        }
        self.next = Some(token + self.interval);
        Some(token.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_one_token_comes_in_each_interval() {
        let (now, ms) = (
            Instant::now() + Duration::from_secs(60),
            Duration::from_millis,
        );
        let mut bucket = Bucket::new(ms(100), 3);
        let mut waits = |now| {
            std::iter::from_fn(|| bucket.take(ms(250), now).map(|at| at - now))
                .take(20)
                .collect::<Vec<_>>()
        };
        assert_eq!(waits(now), [0, 0, 0, 100, 200].map(ms));
        // Half of the burst has come back.
        assert_eq!(waits(now + ms(400)), [0, 0, 100, 200].map(ms));
        // It never holds more than a burst.
        assert_eq!(waits(now + ms(60_000)), [0, 0, 0, 100, 200].map(ms));
    }
}
