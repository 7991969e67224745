//! A bound on log lines about misbehaving clients: a client can cause an error as often as it likes.

use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

/// Maximum number of lines in an interval.
const MAX_LINES: u32 = 100;

/// Interval of the bound.
const INTERVAL: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct LogQuota {
    began: Instant,
    lines: u32,
}

impl LogQuota {
    /// A quota whose first interval begins now.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            began: now,
            lines: 0,
        }
    }

    /// Whether another line may be written. Says once in an interval that lines are left out.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.began) >= INTERVAL {
            *self = Self::new(now);
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines == MAX_LINES + 1 {
            warn!(
                "clients cause more than {MAX_LINES} errors in {INTERVAL:?}; the others are not logged"
            );
        }
        self.lines <= MAX_LINES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_in_each_interval() {
        let now = Instant::now();
        let mut quota = LogQuota::new(now);
        let allowed = (0..1_000).filter(|_| quota.allows(now)).count();
        assert_eq!(allowed, 100);
        assert!(!quota.allows(now + INTERVAL - Duration::from_millis(1)));
        assert!(quota.allows(now + INTERVAL));
    }
}
