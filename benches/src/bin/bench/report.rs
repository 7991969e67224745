//! Figures, and the tables that show them.

use crate::{process::Memory, statistics::Spread};
use anyhow::ensure;
use std::time::Duration;

/// What one side did in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// How many tasks it took.
    pub(crate) tasks: u32,
    /// From the scheduling of the first task to the completion of the last.
    pub(crate) wall: Duration,
    /// User and system time of what counts as the side.
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

/// Two sides to compare, by their places, and what is promised of them.
#[derive(Clone, Copy)]
pub(crate) struct Ratio {
    pub(crate) one: usize,
    pub(crate) other: usize,
    pub(crate) promise: Option<Promise>,
}

/// A promise about the ratio of two sides.
#[derive(Clone, Copy)]
pub(crate) enum Promise {
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
    if verdicts.is_empty() {
        return Ok(());
    }
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

pub(crate) fn heading(names: &[&str]) {
    let names: String = names.iter().map(|name| format!("{name:>9}")).collect();
    let width = names.len().max("processor us/task".len());
    let (line, rate, processor) = ("-".repeat(2 * width + 12), "tasks/s", "processor us/task");
    println!("  {line}\n  {:<8}{rate:>width$}    {processor:>width$}", "");
    println!(
        "  {:<8}{names:>width$}    {names:>width$}\n  {line}",
        "round"
    );
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

/// The medians, and the ratios with their spread. The answer is what became of the promises.
pub(crate) fn summary(names: &[&str], rounds: &[Vec<Figures>], ratios: &[Ratio]) -> Vec<Verdict> {
    let series = |index: usize, of: &dyn Fn(&Figures) -> f64| -> Vec<f64> {
        rounds.iter().map(|round| of(&round[index])).collect()
    };
    let medians = |of: &dyn Fn(&Figures) -> f64| -> Vec<f64> {
        let of_side = |index| Spread::of(series(index, of)).median;
        (0..names.len()).map(of_side).collect()
    };
    line("median", medians(&Figures::rate), medians(&Figures::micros));
    println!();
    let mut verdicts = Vec::new();
    for &Ratio {
        one,
        other,
        promise,
    } in ratios
    {
        let ratio =
            |of: &dyn Fn(&Figures) -> f64| Spread::of_ratios(&series(one, of), &series(other, of));
        let (rate, processor) = (ratio(&Figures::rate), ratio(&Figures::micros));
        let pair = format!("{} / {}", names[one], names[other]);
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
    verdicts
}

/// The memory of a process after the load.
pub(crate) fn memory(side: &str, memory: &Memory) {
    println!(
        "  {side:<7} memory under load: {} at its peak, {} afterwards",
        megabytes(memory.peak),
        megabytes(memory.resident)
    );
}

/// The memory of a bridge and of its RabbitMQ, read several times.
pub(crate) fn memory_of_side(store: &str, side: &str, samples: &[(Memory, Memory)]) {
    let median = |of: &dyn Fn(&(Memory, Memory)) -> u64| {
        let values = samples.iter().map(|sample| of(sample) as f64);
        megabytes(Spread::of(values.collect()).median as u64)
    };
    println!(
        "  {store:<7} {side:<9} {:>9}: bridge {}, RabbitMQ {}",
        median(&|(bridge, rabbitmq)| bridge.resident + rabbitmq.resident),
        median(&|(bridge, _)| bridge.resident),
        median(&|(_, rabbitmq)| rabbitmq.resident)
    );
}

pub(crate) fn ratio(what: &str, ratio: &Spread) {
    println!("  {what}, endpoint / rabbitmq: {ratio}");
}

/// From the start of a process to its first poll.
pub(crate) fn starts(side: &str, times: Vec<Duration>) {
    let times = Spread::of(times.iter().map(|time| time.as_secs_f64() * 1e3).collect());
    println!(
        "  {side:<7} first poll {:>5.0} ms after the start of the process ({:.0} to {:.0})",
        times.median, times.least, times.most
    );
}

/// A process that has nothing to do. `used`: the memory that it has used meanwhile, in KiB.
pub(crate) fn idle(
    side: &str,
    (memory, used): (Memory, u64),
    processor: Duration,
    after: Duration,
) {
    println!(
        "  {side:<7} after {} s idle: {} used meanwhile, {} resident ({} of it anonymous), peak {}, {} threads, {:.2} ms processor/s",
        after.as_secs(),
        megabytes(used),
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
