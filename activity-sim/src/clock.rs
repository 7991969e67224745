//! The simulator's time: microseconds since the Unix epoch. It never goes backwards.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch, or a span of microseconds.
pub(crate) type Micros = u64;

/// Reads the wall clock once, at the start, and the monotonic clock from then on.
#[derive(Debug)]
pub(crate) struct Clock {
    epoch: Micros,
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            epoch: micros(epoch),
            started: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Micros {
        self.at(Instant::now())
    }

    /// The time at this instant; that of the clock's start for an earlier one.
    pub(crate) fn at(&self, instant: Instant) -> Micros {
        self.epoch + micros(instant.saturating_duration_since(self.started))
    }

    /// The time since its start.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The time from now until `at`; zero when `at` has passed.
    pub(crate) fn until(&self, at: Micros) -> Duration {
        Duration::from_micros(at.saturating_sub(self.now()))
    }
}

/// A duration in microseconds. A duration that does not fit becomes the maximum, which never ends.
pub(crate) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

/// Whole Unix milliseconds, as the records show times.
pub(crate) fn millis(at: Micros) -> u64 {
    at / 1_000
}
