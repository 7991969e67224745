//! How long a task takes on its two ways, at fixed rates: from the hand-out by AWS to the worker, and from the worker's
//! reply to the completed task. The tasks of a rate come one by one, evenly.
//!
//! "Hand-out -> worker" begins just before the simulator's system call that writes the poll's answer, and ends when the
//! `read` of the worker's socket returns that has the last byte of the task. Both times are of one clock, in microseconds.
//! All sides have the same apparatus (`socket_worker.rs`).
//!
//! | It contains | It does not contain |
//! |---|---|
//! | the simulator's `write`, and the kernel's way to the bridge | the simulator's choice of the poll, and its handler's wake-up |
//! | the bridge: wake-up, HTTP, the record in the store, the message | the making of the answer, and the wait for its write |
//! | the broker, in the bridge or beside it, and the kernel's ways to and from it | the worker's decoding of frames |
//! | the kernel's wake-up of the worker's thread, and its `read` | a client library and a runtime in the worker |
//!
//! "Reply -> settled" begins just before the write of the reply. It ends when the simulator takes the completion, in whole
//! milliseconds rounded down, to which half a millisecond is added.

use crate::{
    INPUT_BYTES, ROUND_LIMIT,
    contender::{Contender, DOMAIN},
    input,
    load::{Pair, completed},
    setting,
    socket_worker::{Sighting, SocketWorker},
    statistics::Quantiles,
};
use activity_sim::{Schedule, Sim, TaskRecord};
use anyhow::{Context, ensure};
use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};
use tokio::task::block_in_place;

/// The tasks of the first part of a run are not counted: the number of open polls follows the rate.
const LEAD_IN: Duration = Duration::from_millis(500);
/// The simulator tells the time of a completion in whole milliseconds, rounded down.
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

/// A contender, and the worker that notes when it has tasks.
struct Watched {
    process: Contender,
    worker: SocketWorker,
}

/// Measures each process at each rate, in rounds. Which comes first changes from one round to the next. The workers of the
/// load are replaced.
pub(crate) async fn measure(
    sim: &Sim,
    pairs: Vec<Pair>,
    names: &[&str],
    rates: &[u32],
) -> anyhow::Result<Vec<Latency>> {
    let length = Duration::from_secs(setting("LATENCY_SECS", 4)?);
    ensure!(!length.is_zero(), "LATENCY_SECS=0 is too short");
    let rounds: usize = setting("ROUNDS", 5)?;
    let mut sides = watched(pairs).await?;
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
        let mut times = vec![Vec::new(); sides.len()];
        for round in 0..rounds {
            for turn in 0..sides.len() {
                let index = (round + turn) % sides.len();
                times[index].push(run(sim, &mut sides[index], rate, length).await?);
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
    for side in sides {
        side.worker.close().await?;
    }
    Ok(measured)
}

/// Gives each process a worker that notes when it has tasks. At no time is a queue without a consumer.
async fn watched(pairs: Vec<Pair>) -> anyhow::Result<Vec<Watched>> {
    let mut sides = Vec::new();
    let mut workers = Vec::new();
    for Pair { process, worker } in pairs {
        workers.push(worker);
        sides.push(Watched {
            worker: SocketWorker::start(&process.amqp_uri, &process.side.queue())?,
            process,
        });
    }
    for worker in workers {
        worker.close().await;
    }
    Ok(sides)
}

/// Hands out tasks at the rate, and tells how long each took.
async fn run(
    sim: &Sim,
    Watched { process, worker }: &mut Watched,
    rate: u32,
    length: Duration,
) -> anyhow::Result<Times> {
    worker.watch();
    tokio::select! {
        paced = pace(sim, process, rate, LEAD_IN + length) => paced?,
        error = worker.failed() => return Err(error),
    }
    let lead_in = usize::try_from(LEAD_IN.as_millis() * u128::from(rate) / 1000)?;
    times(sim, &sim.tasks()[lead_in..], worker.seen())
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

/// Spreads the tasks evenly over a millisecond. Otherwise what the simulator rounds off the time of a completion would be the
/// same for each task of a run.
fn within_a_millisecond(number: u32) -> Duration {
    Duration::from_micros(u64::from(number) * 618 % 1_000)
}

fn times(sim: &Sim, records: &[TaskRecord], seen: Vec<Sighting>) -> anyhow::Result<Times> {
    let seen = seen
        .into_iter()
        .map(|seen| (seen.activity_id.clone(), seen));
    let seen: HashMap<_, _> = seen.collect();
    let millis = |at: Instant| sim.unix_micros(at) as f64 / 1e3;
    let mut times = Times::default();
    for record in records {
        let seen = seen.get(&record.activity_id).context("no worker saw it")?;
        let answered = record.answered_us.context("it was never handed out")?;
        let closed = record.closed_ms.context("it is open")?;
        ensure!(record.settle_calls == 1, "settled twice: {record:?}");
        let to_worker = millis(seen.received) - answered as f64 / 1e3;
        let to_settled = closed as f64 + HALF_A_MILLISECOND - millis(seen.replied);
        times.to_worker.push(to_worker);
        times.to_settled.push(to_settled);
    }
    Ok(times)
}
