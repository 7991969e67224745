//! Token buckets by action, as the service's quotas are.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::model::Throttle;

/// The buckets in force.
#[derive(Debug, Default)]
pub(crate) struct Throttles {
    buckets: Mutex<HashMap<String, Bucket>>,
    /// Spares the calls the lock while there are no buckets.
    any: AtomicBool,
}

#[derive(Clone, Debug)]
struct Bucket {
    rate_per_sec: f64,
    burst: f64,
    tokens: f64,
    filled_at: Duration,
}

/// The name of the bucket from which an action without one gets its own.
const EVERY_ACTION: &str = "*";

impl Throttles {
    /// Sets the action's bucket, full.
    pub(crate) fn set(&self, throttle: &Throttle, now: Duration) {
        let mut buckets = self.lock();
        if throttle.action == EVERY_ACTION {
            buckets.clear();
        }
        let bucket = Bucket {
            rate_per_sec: throttle.rate_per_sec,
            burst: throttle.burst,
            tokens: throttle.burst,
            filled_at: now,
        };
        buckets.insert(throttle.action.clone(), bucket);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
        self.any.store(false, Ordering::Release);
    }

    /// Takes a token for a call of the action; false when there is none.
    pub(crate) fn admit(&self, action: &str, now: Duration) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return true;
        }
        let mut buckets = self.lock();
        if let Some(bucket) = buckets.get_mut(action) {
            return bucket.take(now);
        }
        let Some(every) = buckets.get(EVERY_ACTION) else {
            return true;
        };
        let mut bucket = every.clone();
        let admitted = bucket.take(now);
        buckets.insert(action.to_owned(), bucket);
        admitted
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.filled_at = now.max(self.filled_at);
        self.tokens = (self.tokens + passed * self.rate_per_sec).min(self.burst);
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttles(action: &str, rate_per_sec: f64, burst: f64) -> Throttles {
        let throttles = Throttles::default();
        let throttle = Throttle {
            action: action.to_owned(),
            rate_per_sec,
            burst,
        };
        throttles.set(&throttle, Duration::ZERO);
        throttles
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
    fn every_action_has_a_bucket_of_its_own() {
        let throttles = throttles("*", 0.0, 3.0);
        assert_eq!(admitted(&throttles, "A", 0, 20), 3);
        assert_eq!(admitted(&throttles, "B", 0, 20), 3);
        throttles.clear();
        assert_eq!(admitted(&throttles, "A", 0, 20), 20);
    }

    #[test]
    fn an_empty_bucket_admits_nobody() {
        assert_eq!(admitted(&throttles("A", 0.0, 0.0), "A", 1_000_000, 9), 0);
    }
}
