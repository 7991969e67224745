//! Figures, and the tables that show them.

use crate::contender::{Memory, Side};
use anyhow::ensure;
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

/// What is compared, and what is promised of it.
const PAIRS: [(Side, Side, Option<Promise>); 3] = [
    (Side::File, Side::Memory, Some(Promise::Rate(0.8))),
    (Side::Redis, Side::Memory, None),
    (Side::Memory, Side::Floor, Some(Promise::Processor(1.5))),
];

/// A promise about the ratio of two sides.
#[derive(Clone, Copy)]
enum Promise {
    /// The least ratio of the tasks/s.
    Rate(f64),
    /// The greatest ratio of the processor time per task.
    Processor(f64),
}

/// Whether a promise was held.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// What was measured, with its figures.
    pub(crate) what: String,
    pub(crate) promise: String,
    pub(crate) held: bool,
}

/// Says which promises were held. One that was not is an error.
pub(crate) fn verdicts(verdicts: &[Verdict]) -> anyhow::Result<()> {
    println!(
        "  Promises; the figures are the median of the rounds, and the least and the greatest"
    );
    for verdict in verdicts {
        let Verdict {
            what,
            promise,
            held,
        } = verdict;
        let held = if *held { "held" } else { "BROKEN" };
        println!("  {held:<7} {what} (promised: {promise})");
    }
    let broken = verdicts.iter().filter(|verdict| !verdict.held).count();
    ensure!(
        broken == 0,
        "{broken} of {} promises broken. Another load on the machine can do that; measure again on a quiet one",
        verdicts.len()
    );
    Ok(())
}

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

/// The medians, the ratios with their spread, and the memory. The answer is what became of the promises.
pub(crate) fn summary(sides: &[Side], rounds: &[Vec<Figures>], memory: &[Memory]) -> Vec<Verdict> {
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
    let mut verdicts = Vec::new();
    for (one, other, promise) in PAIRS {
        let (Some(a), Some(b)) = (place(one), place(other)) else {
            continue;
        };
        let ratio = |of: &dyn Fn(&Figures) -> f64| {
            let ratios = rounds.iter().map(|round| of(&round[a]) / of(&round[b]));
            Spread::of(ratios.collect())
        };
        let (rate, processor) = (ratio(&Figures::rate), ratio(&Figures::micros));
        let pair = format!("{} / {}", one.name(), other.name());
        println!("  {pair:<15} tasks/s {rate}, processor time per task {processor}");
        verdicts.extend(promise.map(|promise| match promise {
            Promise::Rate(least) => Verdict {
                what: format!("tasks/s, {pair}: {rate}"),
                promise: format!("at least {least}"),
                held: rate.median >= least,
            },
            Promise::Processor(most) => Verdict {
                what: format!("processor time per task, {pair}: {processor}"),
                promise: format!("at most {most}"),
                held: processor.median <= most,
            },
        }));
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
    verdicts
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

/// The median of some values, the least and the greatest.
#[derive(Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
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

/// Of many values, those that half, nine tenths and 99 of 100 do not exceed.
#[derive(Debug)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    p90: f64,
    p99: f64,
}

impl Quantiles {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100);
            let value = values.get(rank.wrapping_sub(1));
            value.copied().unwrap_or(f64::NAN)
        };
        Self {
            p50: at(50),
            p90: at(90),
            p99: at(99),
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99 } = self;
        write!(f, "{p50:>8.2} {p90:>8.2} {p99:>8.2}")
    }
}
