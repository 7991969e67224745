//! `make bench`: the bridge with each of its stores beside the floor, in alternating rounds on one RabbitMQ node and one
//! simulator. `make bench-in-flight`: what tasks in flight cost (`in_flight.rs`).
//!
//! The simulator and the worker are in this process, the bridge and the floor (`floor.rs`) in one each, so that
//! processor time and memory are theirs alone. Absolute figures depend on the machine and on what else it does; the
//! ratios much less.
//!
//! From the environment: `AMQP_URI` and `RABBITMQ_NODE_DIR` (from `scripts/rabbitmq.py run`); `TASKS` in a round of the load,
//! `WARM_UP` (tasks before the first), `LATENCY_SECS` of a round at a fixed rate, `ROUNDS` of both, `IDLE_SECS`;
//! `REDIS_URL`, a Redis that may be used, for the store `redis`.
//!
//! The last lines say which promises were held. Where one was not, the exit status is 1.

mod contender;
mod in_flight;
mod latency;
mod report;
mod worker;

use activity_sim::{Options, Schedule, Sim};
use anyhow::{Context, bail, ensure};
use contender::{Contender, DOMAIN, Place, Pollers, Side};
use report::{Figures, Verdict};
use std::{
    env,
    io::Write,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use worker::Worker;

const INPUT_BYTES: usize = 600;
const STARTS: usize = 5;
/// Of the bridge's configuration where it says nothing.
const POLLERS: Pollers = Pollers { min: 2, max: 20 };
/// For the whole of a round.
const ROUND_LIMIT: Duration = Duration::from_secs(120);
const START_LIMIT: Duration = Duration::from_secs(20);
/// For what comes behind the last completion: its acknowledgement.
const TAIL: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Ending by an error, not by the signal, is what stops the contenders.
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        done = bench() => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

async fn bench() -> anyhow::Result<()> {
    let sim = Sim::start(Options {
        domains: vec![DOMAIN.to_owned()],
        ..Options::default()
    })
    .await?;
    let place = Place {
        amqp_uri: env::var("AMQP_URI").context("AMQP_URI; run this by `make bench`")?,
        swf_url: sim.url(),
        scratch: env::var_os("RABBITMQ_NODE_DIR").map_or_else(env::temp_dir, Into::into),
        binaries: env::current_exe()?.with_file_name(""),
    };
    match env::args().nth(1).as_deref() {
        None => compare(&sim, &place).await,
        Some("in-flight") => in_flight::measure(&sim, &place, setting("TASKS", 100_000)?).await,
        Some(other) => bail!("{other}: there is only \"in-flight\""),
    }
}

/// The contenders beside each other: start, idle, load, latency.
async fn compare(sim: &Sim, place: &Place) -> anyhow::Result<()> {
    let sides = Side::all();
    let queues: Vec<_> = sides.iter().map(|side| side.queue()).collect();
    let worker = Worker::start(&place.amqp_uri, &queues).await?;
    start_up(sim, place, &sides).await?;
    idleness(sim, place, &sides).await?;
    let mut processes = warm(sim, place, &sides).await?;
    let mut verdicts = load(sim, &mut processes).await?;
    verdicts.extend(latency::measure(sim, &worker, &mut processes).await?);
    worker.close().await?;
    report::verdicts(&verdicts)
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> anyhow::Result<T> {
    match env::var(name) {
        Ok(text) => match text.parse() {
            Ok(value) => Ok(value),
            Err(_) => bail!("{name}={text} is not a number"),
        },
        Err(_) => Ok(default),
    }
}

/// From the start of each process to its first poll.
async fn start_up(sim: &Sim, place: &Place, sides: &[Side]) -> anyhow::Result<()> {
    println!("\n  Start and idle: one route, default settings");
    let mut times = vec![Vec::new(); sides.len()];
    for attempt in 0..STARTS {
        for (&side, times) in sides.iter().zip(&mut times) {
            let task_list = format!("start-{}-{attempt}", side.name());
            let begun = Instant::now();
            let _process = polling(sim, place, side, task_list, POLLERS).await?;
            times.push(begun.elapsed());
        }
    }
    for (side, times) in sides.iter().zip(times) {
        report::starts(side.name(), times);
    }
    Ok(())
}

/// Starts a process and waits for its first poll.
async fn polling(
    sim: &Sim,
    place: &Place,
    side: Side,
    task_list: String,
    pollers: Pollers,
) -> anyhow::Result<Contender> {
    let mut process = Contender::start(place, side, task_list, pollers)?;
    let task_list = process.task_list.clone();
    let polled = |_: &activity_sim::Summary| sim.summary_of(&task_list).open_polls > 0;
    if sim.wait_until(START_LIMIT, polled).await.is_err() {
        process.check()?;
        bail!("the {} does not poll:\n{}", side.name(), process.words());
    }
    Ok(process)
}

/// What each process holds and does while there is nothing to do. The floor is given the bridge's idle polls.
async fn idleness(sim: &Sim, place: &Place, sides: &[Side]) -> anyhow::Result<()> {
    let idle = Duration::from_secs(setting("IDLE_SECS", 30)?);
    let mut idlers = Vec::new();
    for &side in sides {
        let max = match side {
            Side::Floor => POLLERS.min,
            Side::Memory | Side::File | Side::Redis => POLLERS.max,
        };
        let task_list = format!("idle-{}", side.name());
        let process = polling(sim, place, side, task_list, Pollers { max, ..POLLERS }).await?;
        let spent = process.processor_time()?;
        idlers.push((process, spent));
    }
    sleep(idle).await;
    for (process, spent) in &mut idlers {
        process.check()?;
        let spent = process.processor_time()?.saturating_sub(*spent);
        report::idle(process.side.name(), &process.memory()?, spent, idle);
    }
    Ok(())
}

/// A process of each side that has done some work already.
async fn warm(sim: &Sim, place: &Place, sides: &[Side]) -> anyhow::Result<Vec<Contender>> {
    let warm_up = setting("WARM_UP", 5_000)?;
    let mut processes = Vec::new();
    for &side in sides {
        let task_list = format!("load-{}", side.name());
        let mut process = polling(sim, place, side, task_list, POLLERS).await?;
        run(sim, &mut process, warm_up).await?;
        processes.push(process);
    }
    Ok(processes)
}

/// The rounds under load. Which side comes first changes from one to the next, so that a drift of the machine favours none.
async fn load(sim: &Sim, processes: &mut [Contender]) -> anyhow::Result<Vec<Verdict>> {
    let tasks = setting("TASKS", 20_000)?;
    let sides: Vec<_> = processes.iter().map(|process| process.side).collect();
    report::heading(&sides);
    let mut rounds = Vec::new();
    for round in 0..setting("ROUNDS", 5)? {
        let mut figures = vec![None; sides.len()];
        for turn in 0..sides.len() {
            let index = (round + turn) % sides.len();
            figures[index] = Some(run(sim, &mut processes[index], tasks).await?);
        }
        let figures: Vec<_> = figures.into_iter().flatten().collect();
        report::row(&(round + 1).to_string(), &figures);
        std::io::stdout().flush()?;
        rounds.push(figures);
    }
    let memory = processes.iter().map(Contender::memory);
    let memory = memory.collect::<Result<Vec<_>, _>>()?;
    Ok(report::summary(&sides, &rounds, &memory))
}

/// JSON of so many bytes.
fn input(bytes: usize) -> String {
    format!(r#"{{"order":"{}"}}"#, "x".repeat(bytes - 12))
}

/// Schedules so many tasks for a process at once, and waits until the simulator says that all are completed.
async fn run(sim: &Sim, process: &mut Contender, tasks: u32) -> anyhow::Result<Figures> {
    sim.reset();
    let spent = process.processor_time()?;
    let begun = Instant::now();
    sim.schedule(Schedule {
        count: tasks,
        input: Some(input(INPUT_BYTES)),
        ..Schedule::new(DOMAIN, &process.task_list)
    });
    loop {
        let summary = sim.summary_of(&process.task_list);
        if summary.completed == u64::from(tasks) {
            ensure!(
                summary.late_calls == 0 && summary.abandoned == 0,
                "a task was settled twice or lost: {summary:?}"
            );
            break;
        }
        process.check()?;
        if summary.closed() > summary.completed || begun.elapsed() > ROUND_LIMIT {
            let (name, words) = (process.side.name(), process.words());
            bail!("the {name} did not complete its tasks: {summary:?}\n{words}");
        }
        sleep(Duration::from_millis(5)).await;
    }
    let wall = begun.elapsed();
    sleep(TAIL).await;
    Ok(Figures {
        tasks,
        wall,
        processor: process.processor_time()?.saturating_sub(spent),
    })
}
