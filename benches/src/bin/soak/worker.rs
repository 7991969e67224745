//! The workers. They have as many tasks at once as their prefetch says.

use crate::bridge::ROUTE;
use anyhow::Context;
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions,
    },
    types::FieldTable,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{task::JoinHandle, time::sleep};

const PREFETCH: u16 = 100;
/// For the bridge to listen.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What a worker does with a task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// It sends the body back, awaits the confirm, and acknowledges.
    Replies,
    /// It acknowledges.
    Acknowledges,
}

/// A running worker; dropping it ends it.
pub(crate) struct Worker {
    _connection: Connection,
    counts: Arc<Counts>,
    working: JoinHandle<()>,
}

/// What a worker was given.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    delivered: AtomicU64,
    redelivered: AtomicU64,
}

impl Counts {
    /// The deliveries to all of them, and how many of these said that they were not the first.
    pub(crate) fn of(workers: &[Worker]) -> (u64, u64) {
        let sum = |of: fn(&Self) -> &AtomicU64| {
            let counts = workers.iter().map(|worker| of(&worker.counts));
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        (sum(|all| &all.delivered), sum(|all| &all.redelivered))
    }

    fn add(&self, delivery: &Delivery) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        self.redelivered
            .fetch_add(delivery.redelivered.into(), Ordering::Relaxed);
    }
}

impl Worker {
    /// Connects as soon as the bridge listens, and consumes.
    pub(crate) async fn start(uri: &str, kind: Kind) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let connection = loop {
            match Connection::connect(uri, ConnectionProperties::default()).await {
                Ok(connection) => break connection,
                Err(error) if begun.elapsed() > START_LIMIT => {
                    return Err(error).context("a worker can't connect to the bridge");
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        };
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let options = BasicConsumeOptions::default();
        let consuming =
            channel.basic_consume(ROUTE.into(), "".into(), options, FieldTable::default());
        let deliveries = consuming.await?;
        let counts = Arc::default();
        let working = work(channel, deliveries, kind, Arc::clone(&counts));
        let working = tokio::spawn(async move {
            if let Err(error) = working.await {
                eprintln!("soak: a worker has ended: {error}");
            }
        });
        Ok(Self {
            _connection: connection,
            counts,
            working,
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.working.abort();
    }
}

async fn work(
    channel: Channel,
    mut deliveries: Consumer,
    kind: Kind,
    counts: Arc<Counts>,
) -> lapin::Result<()> {
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        counts.add(&delivery);
        match kind {
            Kind::Acknowledges => drop(delivery.ack(BasicAckOptions::default()).await?),
            Kind::Replies => {
                let channel = channel.clone();
                tokio::spawn(async move {
                    if let Err(error) = reply(&channel, delivery).await {
                        eprintln!("soak: a worker can't reply: {error}");
                    }
                });
            }
        }
    }
    Ok(())
}

async fn reply(channel: &Channel, task: Delivery) -> lapin::Result<()> {
    let mut properties = BasicProperties::default();
    if let Some(id) = task.properties.correlation_id() {
        properties = properties.with_correlation_id(id.clone());
    }
    let reply_to = task.properties.reply_to().clone().unwrap_or_default();
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish("".into(), reply_to, options, &task.data, properties);
    sent.await?.await?;
    task.ack(BasicAckOptions::default()).await.map(drop)
}
