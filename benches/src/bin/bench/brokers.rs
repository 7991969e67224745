//! The endpoint beside RabbitMQ, with each store: memory, load, latency.
//!
//! A side is the bridge and its broker. With RabbitMQ its processes count: beam.smp and what it has started. epmd does not
//! count, because it makes itself independent. Both sides have the same workers, and they do what the worker protocol says:
//! one of lapin for memory and load, and one that reads a bare socket for the latency (`latency.rs`).

use crate::{
    POLLERS,
    contender::{Contender, Place, Setup},
    latency,
    load::{self, Pair, polling},
    process,
    report::{self, Promise, Ratio, Verdict},
    setting,
    side::{Broker, Side, Store},
    statistics::Spread,
    worker::{Manner, Worker},
};
use activity_sim::Sim;
use anyhow::{Context, bail, ensure};
use std::{sync::Arc, time::Duration};

/// The sides of a comparison, in this order.
const BROKERS: [Broker; 2] = [Broker::Endpoint, Broker::RabbitMq];
/// The promises are for the first one.
const STORES: [Store; 2] = [Store::Memory, Store::File];
/// Without it the first poll would wait for the worker, and the worker for the queue.
const SETUP: Setup<'_> = Setup {
    pollers: POLLERS,
    settings: "poll_without_consumers = true",
};

/// Tasks a second while the memory fills.
const MEMORY_RATE: u32 = 200;
/// How often the memory is read, once a second, at the end of that time.
const SAMPLES: u32 = 5;
/// Tasks a second, for the latency. The promise is for the first one.
const RATES: [u32; 2] = [50, 350];

/// The greatest ratios of the endpoint to RabbitMQ.
const MEMORY_PROMISE: f64 = 0.2;
const MEMORY_AIM: f64 = 0.125;
const PROCESSOR_PROMISE: f64 = 0.75;
const LATENCY_PROMISE: f64 = 0.2;

pub(crate) async fn compare(sim: &Sim, place: &Place) -> anyhow::Result<Vec<Verdict>> {
    ensure_rabbitmq(place)?;
    println!("\n  The bridge as the broker beside the bridge with RabbitMQ. What a side needs:");
    println!("  endpoint: the bridge; rabbitmq: the bridge and the processes of RabbitMQ");
    // First of all, while RabbitMQ has done nothing yet.
    let secs = setting("MEMORY_SECS", 60)?;
    println!("\n  Memory after {secs} s at {MEMORY_RATE} tasks/s");
    let mut verdicts = Vec::new();
    for store in STORES {
        let ratio = memory(sim, place, store, secs).await?;
        if store == STORES[0] {
            let aim = if ratio.median <= MEMORY_AIM {
                "reached"
            } else {
                "not reached"
            };
            verdicts.push(Verdict {
                what: format!(
                    "memory, endpoint / rabbitmq: {ratio}; the aim of {MEMORY_AIM} is {aim}"
                ),
                promise: format!("at most {MEMORY_PROMISE}"),
                held: ratio.median <= MEMORY_PROMISE,
            });
        }
    }
    for store in STORES {
        let found = load_and_latency(sim, place, store).await?;
        if store == STORES[0] {
            verdicts.extend(found);
        }
    }
    println!("  The promises are for the store {}.", STORES[0].name());
    Ok(verdicts)
}

/// An error where what is measured as RabbitMQ would not be RabbitMQ.
fn ensure_rabbitmq(place: &Place) -> anyhow::Result<()> {
    let root = place
        .rabbitmq
        .context("RABBITMQ_PID; run this by `make bench`")?;
    let mut programs = Vec::new();
    for pid in process::family(root)? {
        programs.extend(process::program(pid)?);
    }
    let is_there = programs.iter().any(|program| program.starts_with("beam"));
    ensure!(
        is_there,
        "RABBITMQ_PID={root} has no beam.smp: {programs:?}"
    );
    println!("\n  The processes of RabbitMQ: {}", programs.join(", "));
    Ok(())
}

/// The memory of each side under a light load, one side after the other. Returns the ratio.
async fn memory(sim: &Sim, place: &Place, store: Store, secs: u32) -> anyhow::Result<Spread> {
    let Some(fill) = secs.checked_sub(SAMPLES) else {
        bail!("MEMORY_SECS={secs} is too short; the least is {SAMPLES}");
    };
    let mut resident = Vec::new();
    for broker in BROKERS {
        let side = Side::Bridge(broker, store);
        let task_list = format!("memory-{}", side.full_name());
        let process = polling(sim, place, side, task_list, SETUP).await?;
        let Pair {
            mut process,
            worker,
        } = with_worker(process).await?;
        let fill = Duration::from_secs(fill.into());
        latency::pace(sim, &mut process, MEMORY_RATE, fill).await?;
        let mut samples = Vec::new();
        for _ in 0..SAMPLES {
            latency::pace(sim, &mut process, MEMORY_RATE, Duration::from_secs(1)).await?;
            samples.push((process.memory()?, process.rabbitmq_memory()?));
        }
        report::memory_of_side(store.name(), side.broker_name(), &samples);
        let sums = samples
            .iter()
            .map(|(bridge, rabbitmq)| bridge.resident + rabbitmq.resident);
        resident.push(sums.map(|kib| kib as f64).collect::<Vec<_>>());
        worker.close().await;
    }
    let ratio = Spread::of_ratios(&resident[0], &resident[1]);
    report::ratio(&format!("{:<7} memory", store.name()), &ratio);
    Ok(ratio)
}

/// The load and the latency of both sides, in rounds. Returns what became of the promises.
async fn load_and_latency(sim: &Sim, place: &Place, store: Store) -> anyhow::Result<Vec<Verdict>> {
    let sides = BROKERS.map(|broker| Side::Bridge(broker, store));
    let names = sides.map(Side::broker_name);
    let mut pairs = Vec::new();
    for side in sides {
        let process = load::start(sim, place, side, SETUP).await?;
        pairs.push(with_worker(process).await?);
    }
    println!("\n  Load, store {}", store.name());
    let rounds = load::rounds(sim, &mut pairs, &names).await?;
    let ratio = Ratio {
        one: 0,
        other: 1,
        promise: Some(Promise::Processor(PROCESSOR_PROMISE)),
    };
    let mut verdicts = report::summary(&names, &rounds, &[ratio]);
    let measured = latency::measure(sim, pairs, &names, &RATES).await?;
    for latency in &measured {
        let ratio = Spread::of_ratios(&latency.to_worker[0], &latency.to_worker[1]);
        let what = format!("median of hand-out -> worker at {}/s", latency.rate);
        report::ratio(&what, &ratio);
        if latency.rate == RATES[0] {
            verdicts.push(Verdict {
                what: format!("{what}, endpoint / rabbitmq: {ratio}"),
                promise: format!("at most {LATENCY_PROMISE}"),
                held: ratio.median <= LATENCY_PROMISE,
            });
        }
    }
    Ok(verdicts)
}

/// Starts the worker of a process.
async fn with_worker(process: Contender) -> anyhow::Result<Pair> {
    let queues = [process.side.queue()];
    let worker = Worker::start(&process.amqp_uri, &queues, Manner::Careful).await?;
    Ok(Pair {
        process,
        worker: Arc::new(worker),
    })
}
