//! Running totals of a task list. A summary reads them and need not visit the tasks.

use std::collections::BTreeMap;

use crate::{
    clock::Micros,
    record::{Summary, TimeoutType},
    world::task::Outcome,
};

/// Totals since the last reset.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) scheduled: u64,
    pub(crate) polled: u64,
    pub(crate) empty_polls: u64,
    pub(crate) abandoned: u64,
    pub(crate) late_calls: u64,
    pub(crate) max_open_polls: u64,
    completed: u64,
    failed: u64,
    canceled: u64,
    timed_out: BTreeMap<TimeoutType, u64>,
    latency: Histogram,
}

impl Stats {
    pub(crate) fn closed(&mut self, outcome: &Outcome, after: Micros) {
        match outcome {
            Outcome::Completed { .. } => self.completed += 1,
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Canceled { .. } => self.canceled += 1,
            Outcome::TimedOut(timeout) => *self.timed_out.entry(*timeout).or_default() += 1,
        }
        self.latency.record(after);
    }

    /// Adds the totals of another task list, except `max_open_polls`, which is not a sum.
    pub(crate) fn add(&mut self, other: &Self) {
        self.scheduled += other.scheduled;
        self.polled += other.polled;
        self.empty_polls += other.empty_polls;
        self.abandoned += other.abandoned;
        self.late_calls += other.late_calls;
        self.completed += other.completed;
        self.failed += other.failed;
        self.canceled += other.canceled;
        for (timeout, count) in &other.timed_out {
            *self.timed_out.entry(*timeout).or_default() += count;
        }
        self.latency.add(&other.latency);
    }

    pub(crate) fn summary(&self, open_polls: u64) -> Summary {
        let timed_out = self.timed_out.values().sum();
        let closed = self.completed + self.failed + self.canceled + timed_out;
        Summary {
            scheduled: self.scheduled,
            polled: self.polled,
            empty_polls: self.empty_polls,
            completed: self.completed,
            failed: self.failed,
            canceled: self.canceled,
            timed_out,
            timed_out_by: self.timed_out.clone(),
            open: self.scheduled - closed,
            abandoned: self.abandoned,
            late_calls: self.late_calls,
            p50_ms: self.latency.quantile_ms(0.50),
            p99_ms: self.latency.quantile_ms(0.99),
            open_polls,
            max_open_polls: self.max_open_polls,
            // The hub knows these.
            connections: 0,
            max_connections: 0,
            calls: Default::default(),
        }
    }
}

/// Each value below it has its own bucket. Above it, each power of two has this many buckets.
const SUB: u64 = 128;

/// A log-linear histogram with 128 buckets for each power of two, so within 1 % of the true value.
#[derive(Debug, Default)]
struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Histogram {
    fn record(&mut self, value: Micros) {
        let at = Self::bucket(value);
        if self.buckets.len() <= at {
            self.buckets.resize(at + 1, 0);
        }
        self.buckets[at] += 1;
        self.count += 1;
    }

    fn add(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
    }

    /// The smallest value with this share of the values at or below it, in milliseconds.
    fn quantile_ms(&self, share: f64) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        reached.map_or(0.0, |at| Self::middle(at) / 1_000.0)
    }

    fn bucket(value: Micros) -> usize {
        if value < SUB {
            return value as usize;
        }
        let shift = u64::from(value.ilog2() - SUB.ilog2());
        (SUB * (shift + 1) + (value >> shift) - SUB) as usize
    }

    fn middle(bucket: usize) -> f64 {
        let bucket = bucket as u64;
        if bucket < SUB {
            return bucket as f64;
        }
        let shift = bucket / SUB - 1;
        let low = (SUB + bucket % SUB) << shift;
        low as f64 + ((1_u64 << shift) - 1) as f64 / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn quantiles_are_within_one_percent() {
        let mut histogram = Histogram::default();
        for value in 1..=100_000_u64 {
            histogram.record(value * 10);
        }
        for share in [0.01, 0.5, 0.9, 0.99, 1.0] {
            let exact = 1_000.0 * share;
            let found = histogram.quantile_ms(share);
            assert!(
                (found - exact).abs() <= exact * 0.01,
                "{share}: {found}, not {exact}"
            );
        }
    }

    #[test]
    fn every_value_is_within_one_percent_of_the_middle_of_its_bucket() {
        for value in (0..64)
            .map(|bit| 1_u64 << bit)
            .chain([0, 127, 129, u64::MAX])
        {
            let middle = Histogram::middle(Histogram::bucket(value));
            assert!(
                (middle - value as f64).abs() <= value as f64 * 0.01,
                "{value}: {middle}"
            );
        }
    }

    #[test]
    fn the_quantile_of_an_empty_histogram_is_zero() {
        assert_eq!(Histogram::default().quantile_ms(0.5), 0.0);
    }
}
