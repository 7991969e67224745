//! A limit on log lines about repeated failures.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Minimum interval between two log lines about one topic.
const INTERVAL: Duration = Duration::from_secs(10);

/// A kind of failure that can repeat so often that its log lines would hide all others.
#[derive(Clone, Copy, Debug)]
pub enum LogTopic {
    /// Polls are throttled.
    Polls,
    /// Heartbeats fail.
    Heartbeats,
    /// Outcomes are not settled.
    Outcomes,
    /// The store does not record tasks.
    Records,
    /// The queue of parked replies is full.
    ParkingFull,
    /// The file of parked replies can't be written.
    ParkingUnwritable,
}

/// The number of topics.
const TOPICS: usize = LogTopic::ParkingUnwritable as usize + 1;

/// Allows one line about each topic in an interval.
#[derive(Debug, Default)]
pub struct LogLimiter {
    /// When the last line about each topic was allowed.
    allowed: Mutex<[Option<Instant>; TOPICS]>,
}

impl LogLimiter {
    /// Whether a line about the topic may be written now. If so, the interval begins anew.
    pub fn allows(&self, topic: LogTopic) -> bool {
        let mut allowed = self.allowed.lock();
        let last = &mut allowed[topic as usize];
        let due = last.is_none_or(|at| at.elapsed() >= INTERVAL);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn each_topic_has_one_line_in_an_interval() {
        let limiter = LogLimiter::default();
        assert!(limiter.allows(LogTopic::Polls));
        assert!(!limiter.allows(LogTopic::Polls));
        assert!(limiter.allows(LogTopic::Records), "topics do not share it");
        advance(INTERVAL - Duration::from_millis(1)).await;
        assert!(!limiter.allows(LogTopic::Polls));
        advance(Duration::from_millis(1)).await;
        assert!(limiter.allows(LogTopic::Polls));
        assert!(!limiter.allows(LogTopic::Polls));
    }
}
