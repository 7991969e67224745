//! The worker of the sides, but for the latency, which has one of its own (`socket_worker.rs`): sends every task's body back
//! as its result.

use anyhow::bail;
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The running worker.
pub(crate) struct Worker {
    connection: Connection,
    /// Replies whose confirm or acknowledgement is to follow.
    unconfirmed: Arc<AtomicUsize>,
}

/// How a worker works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Without acknowledgements, confirms or a prefetch, so that it is never what the others wait for. It declares its queues.
    Bare,
    /// As the worker protocol says: with a prefetch, replies are persistent and confirmed, and each task is acknowledged
    /// after its confirm. The queues are there already.
    Careful,
}

/// The prefetch of a careful worker. At no time does the bridge wait for room in it: at most 200 tasks are in flight, open
/// polls and outcomes on their way to AWS included.
pub(crate) const PREFETCH: u16 = 200;

/// Timeout for the acknowledgements that are to follow when the worker is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

impl Worker {
    /// Consumes from the queues until it is closed.
    pub(crate) async fn start(
        uri: &str,
        queues: &[String],
        manner: Manner,
    ) -> Result<Self, lapin::Error> {
        let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
        let unconfirmed = Arc::default();
        for queue in queues {
            let channel = connection.create_channel().await?;
            consume(channel, queue, manner, Arc::clone(&unconfirmed)).await?;
        }
        Ok(Self {
            connection,
            unconfirmed,
        })
    }

    /// Closes the connection after the last acknowledgement. Sides that share a worker each close it.
    pub(crate) async fn close(&self) {
        if !self.connection.status().connected() {
            return;
        }
        let begun = Instant::now();
        while self.unconfirmed.load(Relaxed) > 0 && begun.elapsed() < CLOSE_TIMEOUT {
            sleep(Duration::from_millis(5)).await;
        }
        if let Err(error) = self.connection.close(200, "done".into()).await {
            eprintln!("bench: the worker's connection was not closed in order: {error}");
        }
    }
}

async fn consume(
    channel: Channel,
    queue: &str,
    manner: Manner,
    unconfirmed: Arc<AtomicUsize>,
) -> Result<(), lapin::Error> {
    match manner {
        Manner::Bare => {
            let mut arguments = FieldTable::default();
            let quorum = AMQPValue::LongString("quorum".into());
            arguments.insert("x-queue-type".into(), quorum);
            let durable = QueueDeclareOptions::durable();
            let declared = channel.queue_declare(queue.into(), durable, arguments);
            declared.await?;
        }
        Manner::Careful => {
            let confirms = ConfirmSelectOptions::default();
            channel.confirm_select(confirms).await?;
            let qos = BasicQosOptions::default();
            channel.basic_qos(PREFETCH, qos).await?;
        }
    }
    let options = BasicConsumeOptions {
        no_ack: manner == Manner::Bare,
        ..Default::default()
    };
    let consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    let mut consumer = consumer.await?;
    tokio::spawn(async move {
        while let Some(Ok(task)) = consumer.next().await {
            if let Err(error) = work(&channel, manner, task, &unconfirmed).await {
                eprintln!("bench: the worker can't reply: {error}");
                break;
            }
        }
    });
    Ok(())
}

/// Replies to one task. What follows the reply does not hold up the next task.
async fn work(
    channel: &Channel,
    manner: Manner,
    task: Delivery,
    unconfirmed: &Arc<AtomicUsize>,
) -> Result<(), lapin::Error> {
    let Some(reply_to) = task.properties.reply_to().clone() else {
        return Ok(());
    };
    let mut properties = BasicProperties::default();
    if let Some(id) = task.properties.correlation_id() {
        properties = properties.with_correlation_id(id.clone());
    }
    if manner == Manner::Careful {
        properties = properties.with_delivery_mode(2);
    }
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish("".into(), reply_to, options, &task.data, properties);
    let confirm = sent.await?;
    if manner == Manner::Careful {
        let unconfirmed = Arc::clone(unconfirmed);
        unconfirmed.fetch_add(1, Relaxed);
        tokio::spawn(async move {
            if let Err(error) = acknowledge(confirm, &task).await {
                eprintln!("bench: the worker can't acknowledge: {error}");
            }
            unconfirmed.fetch_sub(1, Relaxed);
        });
    }
    Ok(())
}

async fn acknowledge(confirm: PublisherConfirm, task: &Delivery) -> anyhow::Result<()> {
    match confirm.await? {
        Confirmation::Ack(None) => {
            task.acker.ack(BasicAckOptions::default()).await?;
            Ok(())
        }
        refused => bail!("its reply was refused: {refused:?}"),
    }
}
