//! Back-off between attempts: exponential, capped, with jitter.

use std::time::Duration;

/// The growing wait between attempts at the same operation.
///
/// Each wait is a random time between half of the current step and the whole step. Callers that failed together
/// therefore do not try again together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    /// A back-off whose steps begin at `first`, double, and never exceed `cap`.
    #[must_use]
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self {
            first,
            cap,
            attempts: 0,
        }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let doublings = self.attempts.min(20);
        self.attempts = self.attempts.saturating_add(1);
        jittered(self.first.saturating_mul(1 << doublings).min(self.cap))
    }

    /// The number of waits since the last success.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Starts again at the first step, after a success.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// A random duration between half of `step` and `step`.
#[must_use]
pub fn jittered(step: Duration) -> Duration {
    step.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_stay_there() {
        let (first, cap) = (Duration::from_millis(100), Duration::from_secs(10));
        let mut backoff = Backoff::new(first, cap);
        for attempt in 0..200 {
            let step = first.saturating_mul(1 << attempt.min(20)).min(cap);
            let wait = backoff.next_wait();
            assert!(wait >= step / 2 && wait <= step, "{attempt}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= first);
    }
}
