//! Token buckets for calls: one for each action, as the services have, and one for all actions together.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use crate::model::Throttle;

/// All buckets.
#[derive(Debug, Default)]
pub(crate) struct Throttles {
    buckets: Mutex<HashMap<String, Bucket>>,
    /// Whether there is a bucket. Without one, a call does not take the lock.
    any: AtomicBool,
}

#[derive(Debug)]
struct Bucket {
    rate_per_sec: f64,
    burst: f64,
    tokens: f64,
    filled_at: Duration,
}

/// The name of the bucket that all actions share.
const EVERY_ACTION: &str = "*";

impl Throttles {
    /// Sets the bucket of an action. It begins full.
    pub(crate) fn set(&self, throttle: &Throttle, now: Duration) {
        let bucket = Bucket {
            rate_per_sec: throttle.rate_per_sec,
            burst: throttle.burst,
            tokens: throttle.burst,
            filled_at: now,
        };
        self.buckets.lock().insert(throttle.action.clone(), bucket);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        self.buckets.lock().clear();
        self.any.store(false, Ordering::Release);
    }

    /// Takes a token for a call from the action's own bucket and from the shared one. When either bucket
    /// is empty it takes none and returns false.
    pub(crate) fn admit(&self, action: &str, now: Duration) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return true;
        }
        let mut buckets = self.buckets.lock();
        let mut concerned = buckets.get_disjoint_mut([action, EVERY_ACTION]);
        let mut both = concerned.iter_mut().flatten();
        if !both.all(|bucket| bucket.has_token(now)) {
            return false;
        }
        for bucket in concerned.into_iter().flatten() {
            bucket.tokens -= 1.0;
        }
        true
    }
}

impl Bucket {
    fn has_token(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.filled_at = now.max(self.filled_at);
        self.tokens = (self.tokens + passed * self.rate_per_sec).min(self.burst);
        self.tokens >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttles(action: &str, rate_per_sec: f64, burst: f64) -> Throttles {
        let throttles = Throttles::default();
        set(&throttles, action, rate_per_sec, burst);
        throttles
    }

    fn set(throttles: &Throttles, action: &str, rate_per_sec: f64, burst: f64) {
        let throttle = Throttle {
            action: action.to_owned(),
            rate_per_sec,
            burst,
        };
        throttles.set(&throttle, Duration::ZERO);
    }

    fn admitted(throttles: &Throttles, action: &str, at_ms: u64, calls: usize) -> usize {
        let now = Duration::from_millis(at_ms);
        (0..calls).filter(|_| throttles.admit(action, now)).count()
    }

    #[test]
    fn a_bucket_allows_its_burst_and_then_its_rate() {
        let throttles = throttles("A", 10.0, 5.0);
        assert_eq!(admitted(&throttles, "A", 0, 20), 5);
        assert_eq!(admitted(&throttles, "A", 100, 20), 1);
        assert_eq!(admitted(&throttles, "A", 350, 20), 2);
        assert_eq!(admitted(&throttles, "A", 60_000, 20), 5);
        assert_eq!(admitted(&throttles, "B", 0, 20), 20);
    }

    #[test]
    fn all_actions_share_one_bucket() {
        let throttles = throttles("*", 10.0, 5.0);
        assert_eq!(admitted(&throttles, "A", 0, 3), 3);
        assert_eq!(admitted(&throttles, "B", 0, 20), 2);
        assert_eq!(admitted(&throttles, "A", 100, 20), 1);
        assert_eq!(admitted(&throttles, "B", 100, 20), 0);
        throttles.clear();
        assert_eq!(admitted(&throttles, "A", 100, 20), 20);
    }

    #[test]
    fn a_call_needs_a_token_of_its_own_bucket_and_of_the_shared_one() {
        let throttles = throttles("*", 0.0, 5.0);
        set(&throttles, "A", 0.0, 3.0);
        assert_eq!(admitted(&throttles, "A", 0, 20), 3);
        // The refused calls took no token of the shared bucket.
        assert_eq!(admitted(&throttles, "B", 0, 20), 2);
        set(&throttles, "A", 0.0, 3.0);
        assert_eq!(admitted(&throttles, "A", 0, 20), 0);
    }

    #[test]
    fn a_bucket_of_size_zero_admits_no_call() {
        assert_eq!(admitted(&throttles("A", 0.0, 0.0), "A", 1_000_000, 9), 0);
    }
}
