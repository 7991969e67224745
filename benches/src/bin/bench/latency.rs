//! How long a task takes on its two ways, at fixed rates: from the hand-out by AWS to the worker, and from the worker's
//! reply to the completed task.
//!
//! The tasks of a rate come one by one, evenly. The simulator's clock and the worker's are the same one.

use crate::{
    INPUT_BYTES, ROUND_LIMIT,
    contender::{Contender, DOMAIN},
    input,
    load::{Pair, completed},
    setting,
    statistics::Quantiles,
    worker::Sighting,
};
use activity_sim::{Schedule, Sim, TaskRecord};
use anyhow::{Context, ensure};
use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::task::block_in_place;

/// The tasks of the first part of a run are not counted: the number of open polls follows the rate.
const LEAD_IN: Duration = Duration::from_millis(500);
/// The simulator tells whole milliseconds, rounded down.
const HALF_A_MILLISECOND: f64 = 0.5;

/// The times of one run, or of several, in milliseconds.
#[derive(Clone, Debug, Default)]
struct Times {
    to_worker: Vec<f64>,
    to_settled: Vec<f64>,
}

/// What was measured at one rate.
#[derive(Debug)]
pub(crate) struct Latency {
    pub(crate) rate: u32,
    /// For each side, the median from the hand-out to the worker in each round, in milliseconds.
    pub(crate) to_worker: Vec<Vec<f64>>,
}

/// Measures each process at each rate, in rounds. Which comes first changes from one round to the next.
pub(crate) async fn measure(
    sim: &Sim,
    pairs: &mut [Pair],
    names: &[&str],
    rates: &[u32],
) -> anyhow::Result<Vec<Latency>> {
    let length = Duration::from_secs(setting("LATENCY_SECS", 4)?);
    ensure!(!length.is_zero(), "LATENCY_SECS=0 is too short");
    let rounds: usize = setting("ROUNDS", 5)?;
    println!(
        "\n  Latency: tasks at a fixed rate, {rounds} rounds of {} s each; milliseconds",
        length.as_secs()
    );
    let line = "-".repeat(72);
    println!(
        "  {line}\n  {:<18}{:>26}  {:>26}",
        "", "hand-out -> worker", "reply -> settled"
    );
    let header = format!("{:>8} {:>8} {:>8}", "p50", "p90", "p99");
    println!("  {:<9}{:<9}{header}  {header}\n  {line}", "tasks/s", "");
    let mut measured = Vec::new();
    for &rate in rates {
        let mut times = vec![Vec::new(); pairs.len()];
        for round in 0..rounds {
            for turn in 0..pairs.len() {
                let index = (round + turn) % pairs.len();
                times[index].push(run(sim, &mut pairs[index], rate, length).await?);
            }
        }
        for (name, times) in names.iter().zip(&times) {
            let all = |of: fn(&Times) -> &Vec<f64>| {
                Quantiles::of(times.iter().flat_map(|times| of(times).clone()).collect())
            };
            println!(
                "  {rate:<9}{name:<9}{}  {}",
                all(|times| &times.to_worker),
                all(|times| &times.to_settled)
            );
        }
        let median = |times: &Times| Quantiles::of(times.to_worker.clone()).p50;
        let to_worker = times.iter().map(|of| of.iter().map(median).collect());
        measured.push(Latency {
            rate,
            to_worker: to_worker.collect(),
        });
    }
    println!();
    Ok(measured)
}

/// Hands out tasks at the rate, and tells how long each took.
async fn run(sim: &Sim, pair: &mut Pair, rate: u32, length: Duration) -> anyhow::Result<Times> {
    pair.worker.watch();
    pace(sim, &mut pair.process, rate, LEAD_IN + length).await?;
    let lead_in = usize::try_from(LEAD_IN.as_millis() * u128::from(rate) / 1000)?;
    times(&sim.tasks()[lead_in..], pair.worker.seen())
}

/// Hands out tasks at the rate, and waits until all are completed.
pub(crate) async fn pace(
    sim: &Sim,
    process: &mut Contender,
    rate: u32,
    length: Duration,
) -> anyhow::Result<()> {
    sim.reset();
    let tasks = length.as_millis() * u128::from(rate) / 1000;
    let tasks = u32::try_from(tasks).context("too many tasks")?;
    let begun = Instant::now();
    block_in_place(|| {
        let schedule = Schedule {
            input: Some(input(INPUT_BYTES)),
            ..Schedule::new(DOMAIN, &process.task_list)
        };
        for number in 0..tasks {
            let at = begun + Duration::from_secs(1) * number / rate + within_a_millisecond(number);
            #[expect(
                clippy::disallowed_methods,
                reason = "the runtime's timers tell whole milliseconds, and this may block"
            )]
            thread::sleep(at.saturating_duration_since(Instant::now()));
            sim.schedule(schedule.clone());
        }
    });
    completed(sim, process, tasks, begun + length + ROUND_LIMIT).await
}

/// Spreads the tasks evenly over a millisecond. Otherwise what the simulator rounds off would be the same for each task of
/// a run.
fn within_a_millisecond(number: u32) -> Duration {
    Duration::from_micros(u64::from(number) * 618 % 1_000)
}

fn times(records: &[TaskRecord], seen: Vec<Sighting>) -> anyhow::Result<Times> {
    let seen = seen
        .into_iter()
        .map(|seen| (seen.activity_id.clone(), seen));
    let seen: HashMap<_, _> = seen.collect();
    let mut times = Times::default();
    for record in records {
        let seen = seen.get(&record.activity_id).context("no worker saw it")?;
        let started = record.started_ms.context("it was never handed out")?;
        let closed = record.closed_ms.context("it is open")?;
        ensure!(record.settle_calls == 1, "settled twice: {record:?}");
        let (started, closed) = (started as f64, closed as f64);
        let to_worker = millis(seen.received)? - (started + HALF_A_MILLISECOND);
        let to_settled = closed + HALF_A_MILLISECOND - millis(seen.replied)?;
        times.to_worker.push(to_worker);
        times.to_settled.push(to_settled);
    }
    Ok(times)
}

/// Since 1970.
fn millis(at: SystemTime) -> anyhow::Result<f64> {
    Ok(at.duration_since(UNIX_EPOCH)?.as_micros() as f64 / 1e3)
}
