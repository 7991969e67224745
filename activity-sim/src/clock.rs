//! The simulator's time: microseconds since the Unix epoch that never run backwards.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch, or a span of microseconds.
pub(crate) type Micros = u64;

/// Anchored once to the wall clock, driven by the monotonic one from then on.
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
        self.epoch + micros(self.started.elapsed())
    }

    /// How long it has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// How long from now until `at`; zero when it has passed.
    pub(crate) fn until(&self, at: Micros) -> Duration {
        Duration::from_micros(at.saturating_sub(self.now()))
    }
}

/// A duration in microseconds; what does not fit is "for ever".
pub(crate) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

/// Whole Unix milliseconds, as the records show times.
pub(crate) fn millis(at: Micros) -> u64 {
    at / 1_000
}
