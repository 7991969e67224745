//! Figures, and the tables that show them.

use crate::contender::{Memory, Side};
use std::{fmt, time::Duration};

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

/// What is promised of a store, and of the bridge.
const PROMISES: [(Side, Side, &str); 3] = [
    (
        Side::File,
        Side::Memory,
        "promised: at least 0.8 of the tasks/s",
    ),
    (Side::Redis, Side::Memory, "nothing is promised"),
    (
        Side::Memory,
        Side::Floor,
        "promised: at most 1.5 of the processor time",
    ),
];

pub(crate) fn heading(sides: &[Side]) {
    println!(
        "\n  Load: the bridge with each store beside the floor (bare loops over the same crates)"
    );
    let names = sides.iter().map(|side| format!("{:>9}", side.name()));
    let names: String = names.collect();
    let width = names.len();
    let (line, rate, processor) = ("-".repeat(2 * width + 12), "tasks/s", "processor us/task");
    println!("  {line}\n  {:<8}{rate:>width$}    {processor:>width$}", "");
    println!("  {:<8}{names}    {names}\n  {line}", "round");
}

/// A line of the table: each side's figures, in the order of the sides.
pub(crate) fn row(name: &str, round: &[Figures]) {
    let rates = round.iter().map(Figures::rate).collect();
    let micros = round.iter().map(Figures::micros).collect();
    line(name, rates, micros);
}

fn line(name: &str, rates: Vec<f64>, micros: Vec<f64>) {
    let cells = |values: Vec<f64>, digits: usize| -> String {
        let cells = values.into_iter();
        cells.map(|value| format!("{value:>9.digits$}")).collect()
    };
    println!("  {name:<8}{}    {}", cells(rates, 0), cells(micros, 1));
}

/// The medians, the ratios with their spread, and the memory.
pub(crate) fn summary(sides: &[Side], rounds: &[Vec<Figures>], memory: &[Memory]) {
    let of_side = |index: usize, of: &dyn Fn(&Figures) -> f64| {
        let values = rounds.iter().map(|round| of(&round[index]));
        Spread::of(values.collect()).median
    };
    let medians = |of: &dyn Fn(&Figures) -> f64| -> Vec<f64> {
        (0..sides.len()).map(|index| of_side(index, of)).collect()
    };
    line("median", medians(&Figures::rate), medians(&Figures::micros));
    println!();
    let place = |side: Side| sides.iter().position(|one| *one == side);
    for (one, other, promise) in PROMISES {
        let (Some(a), Some(b)) = (place(one), place(other)) else {
            continue;
        };
        let ratio = |of: &dyn Fn(&Figures) -> f64| {
            let ratios = rounds.iter().map(|round| of(&round[a]) / of(&round[b]));
            Spread::of(ratios.collect())
        };
        println!(
            "  {:<15} tasks/s {}, processor time per task {} ({promise})",
            format!("{} / {}", one.name(), other.name()),
            ratio(&Figures::rate),
            ratio(&Figures::micros)
        );
    }
    println!();
    for (side, memory) in sides.iter().zip(memory) {
        println!(
            "  {:<7} memory under load: {} at its peak, {} afterwards",
            side.name(),
            megabytes(memory.peak),
            megabytes(memory.resident)
        );
    }
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
pub(crate) fn megabytes(kib: u64) -> String {
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
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            least,
            most,
        } = self;
        write!(f, "{median:.2} ({least:.2} to {most:.2})")
    }
}
