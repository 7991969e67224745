//! `make bench`: the bridge with each of its stores beside each other and beside the floor, or with each of its brokers, in
//! alternating rounds on one simulator. `make bench-in-flight`: what tasks in flight cost (`in_flight.rs`).
//!
//! The simulator and the workers are in this process, the bridge and the floor (`floor.rs`) in one each, so that
//! processor time and memory are theirs alone. Absolute figures depend on the machine and on what else it does; the
//! ratios much less.
//!
//! From the environment: `AMQP_URI`, `RABBITMQ_NODE_DIR` and `RABBITMQ_PID` (from `scripts/rabbitmq.py run`); `BROKER`, which
//! is `rabbitmq` (the stores and the floor, the default), `endpoint` (the stores, without a RabbitMQ) or `both`; `TASKS` in a
//! round of the load, `WARM_UP` (tasks before the first), `LATENCY_SECS` of a round at a fixed rate, `ROUNDS` of both,
//! `IDLE_SECS`, `MEMORY_SECS`; `REDIS_URL`, a Redis that may be used, for the store `redis`.
//!
//! The last lines say which promises were held. Where one was not, the exit status is 1.

mod amqp_socket;
mod brokers;
mod contender;
mod in_flight;
mod latency;
mod load;
mod process;
mod report;
mod side;
mod socket_worker;
mod statistics;
mod stores;
mod worker;

use activity_sim::{Options, Sim};
use anyhow::{Context, bail};
use contender::{DOMAIN, Place, Pollers};
use side::Comparison;
use std::{env, path::PathBuf, time::Duration};

const INPUT_BYTES: usize = 600;
/// Of the bridge's configuration where it says nothing.
const POLLERS: Pollers = Pollers { min: 2, max: 20 };
/// For the whole of a round.
const ROUND_LIMIT: Duration = Duration::from_secs(120);
const START_LIMIT: Duration = Duration::from_secs(20);

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
    let comparison = Comparison::from_environment()?;
    // RabbitMQ's folder goes with RabbitMQ.
    let scratch = tempfile::tempdir()?;
    let place = Place {
        amqp_uri: env::var("AMQP_URI").ok(),
        rabbitmq: match comparison {
            Comparison::Stores(_) => None,
            Comparison::Brokers => Some(rabbitmq_pid()?),
        },
        swf_url: sim.url(),
        scratch: env::var_os("RABBITMQ_NODE_DIR")
            .map_or_else(|| scratch.path().into(), PathBuf::from),
        binaries: env::current_exe()?.with_file_name(""),
    };
    match env::args().nth(1).as_deref() {
        None => {
            let verdicts = match comparison {
                Comparison::Stores(broker) => stores::compare(&sim, &place, broker).await?,
                Comparison::Brokers => brokers::compare(&sim, &place).await?,
            };
            report::verdicts(&verdicts)
        }
        Some("in-flight") => in_flight::measure(&sim, &place, setting("TASKS", 100_000)?).await,
        Some(other) => bail!("{other}: there is only \"in-flight\""),
    }
}

fn rabbitmq_pid() -> anyhow::Result<u32> {
    let pid = env::var("RABBITMQ_PID").context("RABBITMQ_PID; run this by `make bench`")?;
    pid.parse().context("RABBITMQ_PID")
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

/// JSON of so many bytes.
fn input(bytes: usize) -> String {
    format!(r#"{{"order":"{}"}}"#, "x".repeat(bytes - 12))
}
