//! A limit on log lines about messages that anybody can send: one line for each reason in an interval, with the number of
//! those that were left out.

use parking_lot::Mutex;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Minimum interval between two lines for one reason.
const INTERVAL: Duration = Duration::from_secs(10);

/// What is to be done about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// Write a line about it. So many were left out since the last line.
    Write(u64),
    /// Leave it out. It is the first one: ask [`LogTally::take`] at this time how many followed.
    First(Instant),
    /// Leave it out.
    LeaveOut,
}

/// Counts the lines that are left out, for each reason. The reasons are fixed texts, so their number is bounded.
#[derive(Debug, Default)]
pub struct LogTally {
    reasons: Mutex<BTreeMap<&'static str, Reason>>,
}

#[derive(Debug)]
struct Reason {
    /// When the last line was written.
    written: Instant,
    left_out: u64,
}

impl LogTally {
    /// Notes an event.
    pub fn note(&self, reason: &'static str) -> Tally {
        let now = Instant::now();
        let mut reasons = self.reasons.lock();
        let Some(reason) = reasons.get_mut(reason) else {
            let first = Reason {
                written: now,
                left_out: 0,
            };
            reasons.insert(reason, first);
            return Tally::Write(0);
        };
        let end = reason.written + INTERVAL;
        if now >= end {
            reason.written = now;
            return Tally::Write(std::mem::take(&mut reason.left_out));
        }
        reason.left_out += 1;
        match reason.left_out {
            1 => Tally::First(end),
            _ => Tally::LeaveOut,
        }
    }

    /// The number of events that were left out since the last line; `None` if there are none. A line must be written about
    /// them: the interval begins anew.
    pub fn take(&self, reason: &'static str) -> Option<u64> {
        let mut reasons = self.reasons.lock();
        let reason = reasons.get_mut(reason)?;
        let left_out = std::mem::take(&mut reason.left_out);
        if left_out == 0 {
            return None;
        }
        reason.written = Instant::now();
        Some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, sleep_until};

    #[tokio::test(start_paused = true)]
    async fn each_reason_has_one_line_in_an_interval_and_counts_the_others() {
        let tally = LogTally::default();
        assert_eq!(tally.note("a"), Tally::Write(0));
        assert_eq!(tally.note("b"), Tally::Write(0), "reasons do not share it");
        let end = Instant::now() + INTERVAL;
        assert_eq!(tally.note("a"), Tally::First(end));
        assert_eq!(tally.note("a"), Tally::LeaveOut);
        sleep_until(end).await;
        assert_eq!(tally.take("a"), Some(2));
        assert_eq!(tally.take("a"), None);
        assert_eq!(tally.take("b"), None);
        // What `take` returned is a line too.
        let end = Instant::now() + INTERVAL;
        assert_eq!(tally.note("a"), Tally::First(end));
        assert_eq!(tally.note("b"), Tally::Write(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_has_the_count_if_it_comes_before_the_question() {
        let tally = LogTally::default();
        for _ in 0..4 {
            tally.note("a");
        }
        advance(INTERVAL).await;
        assert_eq!(tally.note("a"), Tally::Write(3));
        assert_eq!(tally.take("a"), None);
    }
}
