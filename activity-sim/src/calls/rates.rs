//! How many calls of each action arrived in each second. A test reads it to judge a rate limit.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

use crate::{clock::Micros, record::Rates};

/// Maximum seconds of each action in memory.
const MAX_SECONDS: usize = 600;

/// All calls that arrived since the last reset, also those that failed.
#[derive(Debug, Default)]
pub(crate) struct CallRates(Mutex<BTreeMap<&'static str, Seconds>>);

/// The newest seconds of one action. The first and the last have a call.
#[derive(Debug)]
struct Seconds {
    /// The first second, counted from the Unix epoch.
    from: u64,
    counts: VecDeque<u64>,
}

impl CallRates {
    pub(crate) fn count(&self, action: &'static str, now: Micros) {
        let second = second_of(now);
        self.0
            .lock()
            .entry(action)
            .or_insert_with(|| Seconds {
                from: second,
                counts: VecDeque::new(),
            })
            .count(second);
    }

    /// The seconds of one action, or of all actions together (`*`), up to the current second.
    pub(crate) fn rates(&self, action: &str, now: Micros) -> Rates {
        let arrivals = self.0.lock();
        let asked = || {
            let all = arrivals.iter();
            all.filter(|(name, _)| action == "*" || action == **name)
                .map(|(_, seconds)| seconds)
        };
        let current = second_of(now);
        let oldest = (current + 1).saturating_sub(MAX_SECONDS as u64);
        let first = asked().map(|seconds| seconds.from).min();
        let from = first.unwrap_or(current).max(oldest);
        let per_second = (from..=current)
            .map(|second| asked().map(|seconds| seconds.at(second)).sum())
            .collect();
        Rates {
            from_ms: from * 1_000,
            per_second,
        }
    }

    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl Seconds {
    fn count(&mut self, second: u64) {
        let newest = self.from + self.counts.len() as u64;
        if second >= newest + MAX_SECONDS as u64 {
            self.from = second;
            self.counts.clear();
        }
        while self.from + (self.counts.len() as u64) <= second {
            self.counts.push_back(0);
        }
        while self.counts.len() > MAX_SECONDS {
            self.counts.pop_front();
            self.from += 1;
        }
        // Concurrent calls may be counted out of order. A call that is too old is not counted.
        if let Some(count) = self.place(second).and_then(|at| self.counts.get_mut(at)) {
            *count += 1;
        }
    }

    fn at(&self, second: u64) -> u64 {
        let place = self.place(second);
        place
            .and_then(|at| self.counts.get(at))
            .copied()
            .unwrap_or(0)
    }

    fn place(&self, second: u64) -> Option<usize> {
        usize::try_from(second.checked_sub(self.from)?).ok()
    }
}

fn second_of(at: Micros) -> u64 {
    at / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    fn rates(arrivals: &CallRates, action: &str, second: u64) -> (u64, Vec<u64>) {
        let rates = arrivals.rates(action, second * SECOND + 1);
        (rates.from_ms / 1_000, rates.per_second)
    }

    #[test]
    fn every_second_has_its_count_and_the_current_one_is_last() {
        let arrivals = CallRates::default();
        assert_eq!(rates(&arrivals, "A", 7), (7, vec![0]));
        for (action, second) in [("A", 10), ("A", 10), ("B", 11), ("A", 13), ("A", 12)] {
            arrivals.count(action, second * SECOND + 999_999);
        }
        assert_eq!(rates(&arrivals, "A", 14), (10, vec![2, 0, 1, 1, 0]));
        assert_eq!(rates(&arrivals, "B", 12), (11, vec![1, 0]));
        assert_eq!(rates(&arrivals, "*", 13), (10, vec![2, 1, 1, 1]));
        arrivals.clear();
        assert_eq!(rates(&arrivals, "*", 14), (14, vec![0]));
    }

    #[test]
    fn only_the_newest_seconds_are_kept() {
        let arrivals = CallRates::default();
        for second in 1..=700 {
            arrivals.count("A", second * SECOND);
        }
        assert_eq!(rates(&arrivals, "A", 700), (101, vec![1; MAX_SECONDS]));
        let (from, counts) = rates(&arrivals, "A", 900);
        assert_eq!((from, counts.len()), (301, MAX_SECONDS));
        assert_eq!(counts.iter().sum::<u64>(), 400);
        arrivals.count("A", 1_000_000_000 * SECOND);
        assert_eq!(arrivals.0.lock()["A"].counts.len(), 1);
        arrivals.count("A", 5 * SECOND);
        assert_eq!(rates(&arrivals, "A", 1_000_000_000).1, [1]);
    }
}
