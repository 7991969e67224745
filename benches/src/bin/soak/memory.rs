//! Whether the memory of a process stays flat.

use std::time::Duration;

/// The longest of the three parts: warm-up, the part after it, and the part at the end. Shorter runs have three equal
/// parts.
const PART: Duration = Duration::from_secs(60);
/// How much more the last part may need than the part after the warm-up: a tenth, and 2 MB. An allocator's free lists and
/// the size of what is in flight move by less. In ten minutes with a million tasks and 40 MB, a leak of eight bytes a task
/// is more than that.
const FACTOR: f64 = 1.1;
const MORE_KIB: f64 = 2_048.0;

/// Resident memory in KiB by time, at regular intervals.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<(Duration, u64)>);

impl Samples {
    pub(crate) fn add(&mut self, at: Duration, kib: u64) {
        self.0.push((at, kib));
    }

    pub(crate) fn last_mb(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, kib)| mb(*kib))
    }

    /// Whether the memory was flat after the warm-up, and the figures.
    pub(crate) fn verdict(&self) -> (bool, String) {
        let end = self.0.last().map_or(Duration::ZERO, |(at, _)| *at);
        let part = PART.min(end / 3);
        let most = |from, to| {
            let within = self.0.iter().filter(|(at, _)| *at >= from && *at <= to);
            within.map(|(_, kib)| *kib).max().unwrap_or_default()
        };
        let (second, last) = (most(part, 2 * part), most(end - part, end));
        let limit = second as f64 * FACTOR + MORE_KIB;
        let secs = part.as_secs();
        let words = format!(
            "memory was flat: at most {:.1} MB from {secs} s to {} s, and at most {:.1} MB in the last {secs} s; the limit \
             is {:.1} MB",
            mb(second),
            2 * secs,
            mb(last),
            limit / 1_024.0
        );
        (second > 0 && last as f64 <= limit, words)
    }
}

fn mb(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample each second for ten minutes.
    fn samples(kib: impl Fn(u64) -> u64) -> Samples {
        let mut samples = Samples::default();
        for second in 0..600 {
            samples.add(Duration::from_secs(second), kib(second));
        }
        samples
    }

    #[test]
    fn growth_in_the_first_minute_is_warm_up() {
        assert!(
            samples(|second| 40_000 + 1_000 * second.min(59))
                .verdict()
                .0
        );
    }

    #[test]
    fn growth_after_the_first_minute_is_a_leak() {
        // About 7 MB in the nine minutes.
        assert!(!samples(|second| 40_000 + 13 * second).verdict().0);
    }

    #[test]
    fn one_peak_in_the_last_minute_counts() {
        let peak = |second| if second == 599 { 60_000 } else { 40_000 };
        assert!(!samples(peak).verdict().0);
    }

    #[test]
    fn without_a_sample_nothing_was_flat() {
        assert!(!Samples::default().verdict().0);
    }
}
