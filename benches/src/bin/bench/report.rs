//! Figures, and the tables that show them.

use crate::contender::Memory;
use std::time::Duration;

/// What one side did in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// How many tasks it took.
    pub(crate) tasks: u32,
    /// From the scheduling of the first task to the completion of the last.
    pub(crate) wall: Duration,
    /// User and system time of the process.
    pub(crate) processor: Duration,
}

impl Figures {
    fn rate(&self) -> f64 {
        f64::from(self.tasks) / self.wall.as_secs_f64()
    }

    fn micros(&self) -> f64 {
        self.processor.as_secs_f64() * 1e6 / f64::from(self.tasks)
    }
}

/// A round: bridge and floor.
pub(crate) type Round = [Figures; 2];

const LINE: &str = "  ------------------------------------------------------------------------";

pub(crate) fn heading() {
    println!("\n  Load: the bridge beside the floor (bare loops over the same crates)\n{LINE}");
    println!(
        "  {:<7}{:>21}{:>8}{:>27}{:>8}",
        "", "tasks/s", "", "processor us/task", ""
    );
    println!(
        "  {:<7}{:>11}{:>10}{:>8}{:>15}{:>12}{:>8}\n{LINE}",
        "round", "bridge", "floor", "ratio", "bridge", "floor", "ratio"
    );
}

pub(crate) fn row(name: &str, [bridge, floor]: &Round) {
    println!(
        "  {name:<7}{:>11.0}{:>10.0}{:>8.2}{:>15.1}{:>12.1}{:>8.2}",
        bridge.rate(),
        floor.rate(),
        bridge.rate() / floor.rate(),
        bridge.micros(),
        floor.micros(),
        bridge.micros() / floor.micros()
    );
}

/// The median of each column, and the spread of the ratios.
pub(crate) fn summary(rounds: &[Round], [bridge, floor]: [Memory; 2]) {
    let column = |of: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(of).collect());
    let rate = column(&|[bridge, floor]| bridge.rate() / floor.rate());
    let processor = column(&|[bridge, floor]| bridge.micros() / floor.micros());
    println!("{LINE}");
    println!(
        "  {:<7}{:>11.0}{:>10.0}{:>8.2}{:>15.1}{:>12.1}{:>8.2}",
        "median",
        column(&|round| round[0].rate()).median,
        column(&|round| round[1].rate()).median,
        rate.median,
        column(&|round| round[0].micros()).median,
        column(&|round| round[1].micros()).median,
        processor.median
    );
    println!(
        "  {:<7}{:>29}{:>35}",
        "spread",
        rate.range(),
        processor.range()
    );
    println!(
        "\n  Processor time per task, bridge / floor: {:.2} (promised: at most 1.5)",
        processor.median
    );
    println!(
        "  Memory under load: bridge {} at its peak, {} afterwards; floor {}, {}; ratio of the peaks {:.2}",
        megabytes(bridge.peak),
        megabytes(bridge.resident),
        megabytes(floor.peak),
        megabytes(floor.resident),
        bridge.peak as f64 / floor.peak as f64
    );
}

/// From the start of a process to its first poll.
pub(crate) fn starts(side: &str, times: Vec<Duration>) {
    let times = Spread::of(times.iter().map(|time| time.as_secs_f64() * 1e3).collect());
    println!(
        "  {side:<7} first poll {:>5.0} ms after the start of the process ({:.0} to {:.0})",
        times.median, times.least, times.most
    );
}

/// A process that has nothing to do.
pub(crate) fn idle(side: &str, memory: &Memory, processor: Duration, after: Duration) {
    println!(
        "  {side:<7} after {} s idle: {} resident ({} of it anonymous), peak {}, {} threads, {:.2} ms processor/s",
        after.as_secs(),
        megabytes(memory.resident),
        megabytes(memory.anonymous),
        megabytes(memory.peak),
        memory.threads,
        processor.as_secs_f64() * 1e3 / after.as_secs_f64()
    );
}

/// Decimal megabytes, of which 20 are promised.
fn megabytes(kib: u64) -> String {
    format!("{:.1} MB", kib as f64 * 1024.0 / 1e6)
}

#[derive(Debug)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (middle, odd) = (values.len() / 2, values.len() % 2 == 1);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let below = if odd {
            at(middle)
        } else {
            at(middle.wrapping_sub(1))
        };
        Self {
            median: f64::midpoint(below, at(middle)),
            least: at(0),
            most: at(values.len().wrapping_sub(1)),
        }
    }

    fn range(&self) -> String {
        format!("{:.2} to {:.2}", self.least, self.most)
    }
}
