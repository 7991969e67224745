//! `make soak`: tasks at the highest rate through a bridge that is the broker, for a long time. The question is whether its
//! memory stays flat and whether every task ends once.
//!
//! The simulator and the workers are in this process, the bridge is in one of its own. One worker replies, awaits the
//! confirm and acknowledges; the other only acknowledges. Tasks are scheduled in batches, because the simulator remembers
//! every task until it is told to forget them.
//!
//! From the environment: `SOAK_SECS` (600) and `SOAK_STORE` (`file` or `memory`). The last lines say what was held. Where
//! something was not, the exit status is 1.

mod bridge;
mod memory;
mod worker;

use activity_sim::{Options, Schedule, Sim, Summary};
use anyhow::{Context, bail, ensure};
use bridge::{BridgeProcess, DOMAIN, ROUTE};
use memory::Samples;
use std::{
    env,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use worker::{Counts, Kind, Worker};

const INPUT_BYTES: usize = 600;
/// Some seconds of work. The pause between two batches is some milliseconds.
const BATCH: u32 = 20_000;
/// Time without the end of any task after which tasks count as lost.
const STALLED: Duration = Duration::from_secs(60);
/// Interval at which the simulator is asked.
const LOOK: Duration = Duration::from_millis(10);
/// Interval of the samples of memory.
const SAMPLE: Duration = Duration::from_secs(1);
/// Interval of the lines about the progress.
const LINE: Duration = Duration::from_secs(10);
/// The simulator answers an empty poll after this time. A shutdown waits for it.
const HOLD: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Ending by an error, not by the signal, is what stops the bridge.
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        done = soak() => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

async fn soak() -> anyhow::Result<()> {
    let secs = match env::var("SOAK_SECS") {
        Ok(text) => text.parse().context("SOAK_SECS is not a number")?,
        Err(_) => 600,
    };
    let store = env::var("SOAK_STORE").unwrap_or_else(|_| "file".to_owned());
    let sim = Sim::start(Options {
        domains: vec![DOMAIN.to_owned()],
        hold: HOLD,
        ..Options::default()
    })
    .await?;
    let mut bridge = BridgeProcess::start(&sim.url(), &store)?;
    let workers = [
        Worker::start(&bridge.amqp_uri, Kind::Replies).await?,
        Worker::start(&bridge.amqp_uri, Kind::Acknowledges).await?,
    ];
    println!("store {store}, {secs} s");
    let mut soak = Soak::new(&sim);
    soak.run(&mut bridge, Duration::from_secs(secs)).await?;
    let (delivered, redelivered) = Counts::of(&workers);
    drop(workers);
    let left = bridge.terminate().await?;
    let (flat, words) = soak.samples.verdict();
    let once = delivered == soak.done && redelivered == 0;
    let held = |held| if held { "held" } else { "NOT HELD" };
    println!("{}: {words}", held(flat));
    println!("held: none of {} tasks was lost", soak.done);
    println!(
        "{}: each was delivered once, {delivered} deliveries",
        held(once)
    );
    println!(
        "{}: nothing was left at the end: {left}",
        held(left.is_clean())
    );
    ensure!(flat && once && left.is_clean(), "not everything was held");
    Ok(())
}

/// The run so far.
struct Soak<'a> {
    sim: &'a Sim,
    begun: Instant,
    /// Tasks of the batches before this one.
    done: u64,
    samples: Samples,
}

impl<'a> Soak<'a> {
    fn new(sim: &'a Sim) -> Self {
        Self {
            sim,
            begun: Instant::now(),
            done: 0,
            samples: Samples::default(),
        }
    }

    /// Batch after batch until the time is over, and the last one to its end.
    async fn run(&mut self, bridge: &mut BridgeProcess, limit: Duration) -> anyhow::Result<()> {
        let (mut sampled, mut line) = (Instant::now(), Line::default());
        while self.begun.elapsed() < limit {
            self.schedule();
            let (mut ended, mut changed) = (0, Instant::now());
            while ended < u64::from(BATCH) {
                sleep(LOOK).await;
                let summary = self.sim.summary();
                bridge.check()?;
                check(&summary, changed.elapsed()).with_context(|| bridge.words())?;
                if summary.completed > ended {
                    (ended, changed) = (summary.completed, Instant::now());
                }
                if sampled.elapsed() >= SAMPLE {
                    sampled = Instant::now();
                    self.samples
                        .add(self.begun.elapsed(), bridge.resident_kib()?);
                }
                line.show(self.begun.elapsed(), self.done + ended, &self.samples);
            }
            self.done += ended;
        }
        Ok(())
    }

    fn schedule(&self) {
        self.sim.reset();
        self.sim.schedule(Schedule {
            count: BATCH,
            input: Some(format!(r#"{{"order":"{}"}}"#, "x".repeat(INPUT_BYTES - 12))),
            ..Schedule::new(DOMAIN, ROUTE)
        });
    }
}

/// An error where a task of the batch ended otherwise, or AWS was told of one twice, or none has ended for so long.
fn check(summary: &Summary, since: Duration) -> anyhow::Result<()> {
    ensure!(
        summary.closed() == summary.completed && summary.late_calls == 0 && summary.abandoned == 0,
        "a task was lost, or settled twice: {summary:?}"
    );
    ensure!(
        since < STALLED,
        "no task ended for {STALLED:?}, and {} are open",
        summary.open
    );
    Ok(())
}

/// The lines about the progress.
#[derive(Default)]
struct Line {
    last: Duration,
    done: u64,
}

impl Line {
    fn show(&mut self, now: Duration, done: u64, samples: &Samples) {
        if now < self.last + LINE {
            return;
        }
        let rate = (done - self.done) as f64 / (now - self.last).as_secs_f64();
        println!(
            "{:>5} s  {done:>9} tasks  {rate:>6.0} tasks/s  RSS {:.1} MB",
            now.as_secs(),
            samples.last_mb()
        );
        (self.last, self.done) = (now, done);
    }
}
