//! The stores beside each other, with one broker: start, idle, load, latency. With RabbitMQ the floor is one more side.

use crate::{
    POLLERS,
    contender::{Place, Pollers, Setup},
    latency::{self, Latency},
    load::{self, Pair, polling},
    report::{self, Promise, Ratio, Verdict},
    setting,
    side::{Broker, Side, Store},
    statistics::Spread,
    worker::{Manner, Worker},
};
use activity_sim::Sim;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

const STARTS: usize = 5;
/// Tasks a second, for the latency.
const RATES: [u32; 3] = [50, 350, 800];

/// What is promised of `file` beside `memory` with RabbitMQ: the rate, and the most that its median may be above, in
/// milliseconds.
const PROMISES: [(u32, f64); 2] = [(350, 3.0), (800, 8.0)];

/// Measures all stores with this broker. Nothing is promised of them with the endpoint.
pub(crate) async fn compare(
    sim: &Sim,
    place: &Place,
    broker: Broker,
) -> anyhow::Result<Vec<Verdict>> {
    let sides = Side::all(broker);
    let names: Vec<_> = sides.iter().map(|side| side.store_name()).collect();
    // With RabbitMQ the worker is there from the start, and declares the queues.
    let (worker, settings) = match broker {
        Broker::RabbitMq => {
            let queues: Vec<_> = sides.iter().map(|side| side.queue()).collect();
            let worker = Worker::start(place.rabbitmq_uri()?, &queues, Manner::Bare).await?;
            (Some(Arc::new(worker)), "declare = false")
        }
        Broker::Endpoint => (None, "poll_without_consumers = true"),
    };
    let setup = Setup {
        pollers: POLLERS,
        settings,
    };
    start_up(sim, place, &sides, setup).await?;
    idleness(sim, place, &sides, setup).await?;
    let mut pairs = Vec::new();
    for &side in &sides {
        let process = load::start(sim, place, side, setup).await?;
        let worker = match &worker {
            Some(worker) => Arc::clone(worker),
            None => {
                let queues = [side.queue()];
                Arc::new(Worker::start(&process.amqp_uri, &queues, Manner::Careful).await?)
            }
        };
        pairs.push(Pair { process, worker });
    }
    println!("\n  Load: the bridge with each store");
    if broker == Broker::RabbitMq {
        println!("  The floor: bare loops over the same crates");
    }
    let rounds = load::rounds(sim, &mut pairs, &names).await?;
    let mut verdicts = report::summary(&names, &rounds, &ratios(broker, &sides));
    for (name, pair) in names.iter().zip(&pairs) {
        report::memory(name, &pair.process.memory()?);
    }
    let measured = latency::measure(sim, pairs, &names, &RATES).await?;
    if broker == Broker::RabbitMq {
        verdicts.extend(
            measured
                .iter()
                .filter_map(|latency| promised(latency, &sides)),
        );
    }
    Ok(verdicts)
}

/// The ratios of the load.
fn ratios(broker: Broker, sides: &[Side]) -> Vec<Ratio> {
    let of = |store| Side::Bridge(broker, store);
    let is_promised = broker == Broker::RabbitMq;
    let pairs = [
        (of(Store::File), of(Store::Memory), Some(Promise::Rate(0.8))),
        (of(Store::Redis), of(Store::Memory), None),
        (
            of(Store::Memory),
            Side::Floor,
            Some(Promise::Processor(1.5)),
        ),
    ];
    let place = |side: Side| sides.iter().position(|one| *one == side);
    let ratios = pairs.into_iter().filter_map(|(one, other, promise)| {
        Some(Ratio {
            one: place(one)?,
            other: place(other)?,
            promise: promise.filter(|_| is_promised),
        })
    });
    ratios.collect()
}

/// Whether what is promised at this rate, if anything, was held.
fn promised(latency: &Latency, sides: &[Side]) -> Option<Verdict> {
    let rate = latency.rate;
    let (_, most) = PROMISES.into_iter().find(|(of, _)| *of == rate)?;
    let medians = |store| {
        let side = Side::Bridge(Broker::RabbitMq, store);
        let index = sides.iter().position(|one| *one == side)?;
        latency.to_worker.get(index)
    };
    let (file, memory) = (medians(Store::File)?, medians(Store::Memory)?);
    let differences = file.iter().zip(memory).map(|(file, memory)| file - memory);
    let differences = Spread::of(differences.collect());
    Some(Verdict {
        what: format!("hand-out -> worker at {rate}/s, median of file - memory: {differences} ms"),
        promise: format!("at most {most} ms"),
        held: differences.median <= most,
    })
}

/// From the start of each process to its first poll.
async fn start_up(
    sim: &Sim,
    place: &Place,
    sides: &[Side],
    setup: Setup<'_>,
) -> anyhow::Result<()> {
    println!("\n  Start and idle: one route, default settings");
    let mut times = vec![Vec::new(); sides.len()];
    for attempt in 0..STARTS {
        for (&side, times) in sides.iter().zip(&mut times) {
            let task_list = format!("start-{}-{attempt}", side.full_name());
            let begun = Instant::now();
            let _process = polling(sim, place, side, task_list, setup).await?;
            times.push(begun.elapsed());
        }
    }
    for (side, times) in sides.iter().zip(times) {
        report::starts(side.store_name(), times);
    }
    Ok(())
}

/// What each process holds and does while there is nothing to do. The floor is given the bridge's idle polls.
async fn idleness(
    sim: &Sim,
    place: &Place,
    sides: &[Side],
    setup: Setup<'_>,
) -> anyhow::Result<()> {
    let idle = Duration::from_secs(setting("IDLE_SECS", 30)?);
    let mut idlers = Vec::new();
    for &side in sides {
        let max = match side {
            Side::Floor => POLLERS.min,
            Side::Bridge(..) => POLLERS.max,
        };
        let task_list = format!("idle-{}", side.full_name());
        let setup = Setup {
            pollers: Pollers { max, ..POLLERS },
            ..setup
        };
        let process = polling(sim, place, side, task_list, setup).await?;
        let spent = process.processor_time()?;
        process.clear_used()?;
        idlers.push((process, spent));
    }
    sleep(idle).await;
    for (process, spent) in &mut idlers {
        process.check()?;
        let spent = process.processor_time()?.saturating_sub(*spent);
        let memory = (process.memory()?, process.used()?);
        report::idle(process.side.store_name(), memory, spent, idle);
    }
    Ok(())
}
