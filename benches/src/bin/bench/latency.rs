//! How long a task takes on its two ways, at fixed rates: from the hand-out by AWS to the worker, and from the worker's
//! reply to the completed task.
//!
//! The tasks of a rate come one by one, evenly. The simulator's clock and the worker's are the same one.

use crate::{
    INPUT_BYTES, ROUND_LIMIT,
    contender::{Contender, DOMAIN, Side},
    input,
    report::{Quantiles, Spread, Verdict},
    setting,
    worker::{Sighting, Worker},
};
use activity_sim::{Schedule, Sim, TaskRecord};
use anyhow::{Context, bail, ensure};
use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{task::block_in_place, time::sleep};

/// Tasks a second.
const RATES: [u32; 3] = [50, 350, 800];
/// The tasks of the first part of a run are not counted: the number of open polls follows the rate.
const LEAD_IN: Duration = Duration::from_millis(500);
/// The simulator tells whole milliseconds, rounded down.
const HALF_A_MILLISECOND: f64 = 0.5;

/// What is promised of `file` beside `memory`: the rate, and the most that its median may be above, in milliseconds.
const PROMISES: [(u32, f64); 2] = [(350, 3.0), (800, 8.0)];

/// The times of one run, or of several, in milliseconds.
#[derive(Clone, Debug, Default)]
struct Times {
    to_worker: Vec<f64>,
    to_settled: Vec<f64>,
}

/// Measures each process at each rate, in rounds. Which comes first changes from one round to the next.
pub(crate) async fn measure(
    sim: &Sim,
    worker: &Worker,
    processes: &mut [Contender],
) -> anyhow::Result<Vec<Verdict>> {
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
    let names = format!("{:>8} {:>8} {:>8}", "p50", "p90", "p99");
    println!("  {:<9}{:<9}{names}  {names}\n  {line}", "tasks/s", "");
    let mut verdicts = Vec::new();
    for rate in RATES {
        let mut times = vec![Vec::new(); processes.len()];
        for round in 0..rounds {
            for turn in 0..processes.len() {
                let index = (round + turn) % processes.len();
                times[index].push(run(sim, worker, &mut processes[index], rate, length).await?);
            }
        }
        for (process, times) in processes.iter().zip(&times) {
            let all = |of: fn(&Times) -> &Vec<f64>| {
                Quantiles::of(times.iter().flat_map(|times| of(times).clone()).collect())
            };
            println!(
                "  {rate:<9}{:<9}{}  {}",
                process.side.name(),
                all(|times| &times.to_worker),
                all(|times| &times.to_settled)
            );
        }
        verdicts.extend(promised(rate, processes, &times));
    }
    println!();
    Ok(verdicts)
}

/// Whether what is promised at this rate, if anything, was held.
fn promised(rate: u32, processes: &[Contender], times: &[Vec<Times>]) -> Option<Verdict> {
    let (_, most) = PROMISES.into_iter().find(|(of, _)| *of == rate)?;
    let medians = |side| {
        let index = processes.iter().position(|process| process.side == side)?;
        let medians = times[index]
            .iter()
            .map(|times| Quantiles::of(times.to_worker.clone()).p50);
        Some(medians.collect::<Vec<_>>())
    };
    let (file, memory) = (medians(Side::File)?, medians(Side::Memory)?);
    let differences = file.iter().zip(&memory).map(|(file, memory)| file - memory);
    let differences = Spread::of(differences.collect());
    Some(Verdict {
        what: format!("hand-out -> worker at {rate}/s, median of file - memory: {differences} ms"),
        promise: format!("at most {most} ms"),
        held: differences.median <= most,
    })
}

/// Hands out tasks at the rate, and waits until all are completed.
async fn run(
    sim: &Sim,
    worker: &Worker,
    process: &mut Contender,
    rate: u32,
    length: Duration,
) -> anyhow::Result<Times> {
    sim.reset();
    worker.watch();
    let tasks = (LEAD_IN + length).as_millis() * u128::from(rate) / 1000;
    let tasks = u32::try_from(tasks).context("LATENCY_SECS")?;
    let begun = Instant::now();
    block_in_place(|| {
        let schedule = Schedule {
            input: Some(input(INPUT_BYTES)),
            ..Schedule::new(DOMAIN, &process.task_list)
        };
        for number in 0..tasks {
            let at = begun + Duration::from_secs(1) * number / rate;
            #[expect(
                clippy::disallowed_methods,
                reason = "the runtime's timers tell whole milliseconds, and this may block"
            )]
            thread::sleep(at.saturating_duration_since(Instant::now()));
            sim.schedule(schedule.clone());
        }
    });
    loop {
        let summary = sim.summary_of(&process.task_list);
        if summary.completed == u64::from(tasks) {
            break;
        }
        process.check()?;
        if summary.closed() > summary.completed || begun.elapsed() > ROUND_LIMIT {
            let (name, words) = (process.side.name(), process.words());
            bail!("the {name} did not complete its tasks: {summary:?}\n{words}");
        }
        sleep(Duration::from_millis(5)).await;
    }
    let lead_in = usize::try_from(LEAD_IN.as_millis() * u128::from(rate) / 1000)?;
    times(&sim.tasks()[lead_in..], worker.seen())
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
