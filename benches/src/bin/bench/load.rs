//! As many tasks as the sides can do, in rounds.

use crate::{
    INPUT_BYTES, ROUND_LIMIT, START_LIMIT,
    contender::{Contender, DOMAIN, Place, Setup},
    input,
    report::{self, Figures},
    setting,
    side::Side,
    worker::Worker,
};
use activity_sim::{Schedule, Sim};
use anyhow::{bail, ensure};
use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// For what comes behind the last completion: its acknowledgement.
const TAIL: Duration = Duration::from_millis(100);

/// A contender, and the worker of its queue.
pub(crate) struct Pair {
    pub(crate) process: Contender,
    pub(crate) worker: Arc<Worker>,
}

/// Starts a process and waits for its first poll.
pub(crate) async fn polling(
    sim: &Sim,
    place: &Place,
    side: Side,
    task_list: String,
    setup: Setup<'_>,
) -> anyhow::Result<Contender> {
    let mut process = Contender::start(place, side, task_list, setup)?;
    let task_list = process.task_list.clone();
    let polled = |_: &activity_sim::Summary| sim.summary_of(&task_list).open_polls > 0;
    if sim.wait_until(START_LIMIT, polled).await.is_err() {
        process.check()?;
        bail!(
            "the {} does not poll:\n{}",
            side.full_name(),
            process.words()
        );
    }
    Ok(process)
}

/// A process for the load, without a worker.
pub(crate) async fn start(
    sim: &Sim,
    place: &Place,
    side: Side,
    setup: Setup<'_>,
) -> anyhow::Result<Contender> {
    let task_list = format!("load-{}", side.full_name());
    polling(sim, place, side, task_list, setup).await
}

/// The rounds. Which side comes first changes from one to the next, so that a drift of the machine favours none.
pub(crate) async fn rounds(
    sim: &Sim,
    pairs: &mut [Pair],
    names: &[&str],
) -> anyhow::Result<Vec<Vec<Figures>>> {
    let warm_up = setting("WARM_UP", 5_000)?;
    for pair in &mut *pairs {
        run(sim, &mut pair.process, warm_up).await?;
    }
    let tasks = setting("TASKS", 20_000)?;
    report::heading(names);
    let mut rounds = Vec::new();
    for round in 0..setting("ROUNDS", 5)? {
        let mut figures = vec![None; pairs.len()];
        for turn in 0..pairs.len() {
            let index = (round + turn) % pairs.len();
            figures[index] = Some(run(sim, &mut pairs[index].process, tasks).await?);
        }
        let figures: Vec<_> = figures.into_iter().flatten().collect();
        report::row(&(round + 1).to_string(), &figures);
        std::io::stdout().flush()?;
        rounds.push(figures);
    }
    Ok(rounds)
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
    completed(sim, process, tasks, begun + ROUND_LIMIT).await?;
    let wall = begun.elapsed();
    sleep(TAIL).await;
    Ok(Figures {
        tasks,
        wall,
        processor: process.processor_time()?.saturating_sub(spent),
    })
}

/// Waits until so many tasks are completed, each once.
pub(crate) async fn completed(
    sim: &Sim,
    process: &mut Contender,
    tasks: u32,
    until: Instant,
) -> anyhow::Result<()> {
    loop {
        let summary = sim.summary_of(&process.task_list);
        if summary.completed == u64::from(tasks) {
            ensure!(
                summary.late_calls == 0 && summary.abandoned == 0,
                "a task was settled twice or lost: {summary:?}"
            );
            return Ok(());
        }
        process.check()?;
        if summary.closed() > summary.completed || Instant::now() > until {
            let (name, words) = (process.side.full_name(), process.words());
            bail!("the {name} did not complete its tasks: {summary:?}\n{words}");
        }
        sleep(Duration::from_millis(5)).await;
    }
}
