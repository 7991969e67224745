//! The worker that all sides share: sends every task's body back as its result.

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    message::Delivery,
    options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// The running worker.
pub(crate) struct Worker {
    connection: Connection,
    sightings: Arc<Sightings>,
}

/// When the worker had a task.
#[derive(Debug)]
pub(crate) struct Sighting {
    pub(crate) activity_id: String,
    pub(crate) received: SystemTime,
    pub(crate) replied: SystemTime,
}

/// `None` while nobody wants to know.
type Sightings = Mutex<Option<Vec<Sighting>>>;

impl Worker {
    /// Consumes from the queues until it is closed.
    ///
    /// Without acknowledgements, confirms or a prefetch, so that it is never what the others wait for.
    pub(crate) async fn start(uri: &str, queues: &[String]) -> Result<Self, lapin::Error> {
        let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
        let sightings = Arc::default();
        for queue in queues {
            consume(&connection, queue, Arc::clone(&sightings)).await?;
        }
        Ok(Self {
            connection,
            sightings,
        })
    }

    /// Begins to note when it has tasks.
    pub(crate) fn watch(&self) {
        set(&self.sightings, Some(Vec::new()));
    }

    /// What it noted since it was told to; it notes no more.
    pub(crate) fn seen(&self) -> Vec<Sighting> {
        set(&self.sightings, None).unwrap_or_default()
    }

    pub(crate) async fn close(&self) -> Result<(), lapin::Error> {
        self.connection.close(200, "done".into()).await
    }
}

fn set(sightings: &Sightings, to: Option<Vec<Sighting>>) -> Option<Vec<Sighting>> {
    let mut sightings = sightings.lock().unwrap_or_else(PoisonError::into_inner);
    mem::replace(&mut sightings, to)
}

async fn consume(
    connection: &Connection,
    queue: &str,
    sightings: Arc<Sightings>,
) -> Result<(), lapin::Error> {
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    let quorum = AMQPValue::LongString("quorum".into());
    arguments.insert("x-queue-type".into(), quorum);
    let durable = QueueDeclareOptions::durable();
    let declared = channel.queue_declare(queue.into(), durable, arguments);
    declared.await?;
    let options = BasicConsumeOptions {
        no_ack: true,
        ..Default::default()
    };
    let consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    let mut consumer = consumer.await?;
    tokio::spawn(async move {
        while let Some(Ok(task)) = consumer.next().await {
            let received = SystemTime::now();
            let Some(reply_to) = task.properties.reply_to().clone() else {
                continue;
            };
            let mut properties = BasicProperties::default();
            if let Some(id) = task.properties.correlation_id() {
                properties = properties.with_correlation_id(id.clone());
            }
            note(&sightings, &task, received);
            let options = BasicPublishOptions::default();
            let sent = channel.basic_publish("".into(), reply_to, options, &task.data, properties);
            if let Err(error) = sent.await {
                eprintln!("bench: the worker can't reply: {error}");
                break;
            }
        }
    });
    Ok(())
}

/// Just before the reply.
fn note(sightings: &Sightings, task: &Delivery, received: SystemTime) {
    let mut sightings = sightings.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(sightings) = &mut *sightings else {
        return;
    };
    let headers = task.properties.headers().as_ref();
    let id = headers.and_then(|headers| headers.inner().get("activity-id"));
    if let Some(AMQPValue::LongString(id)) = id {
        sightings.push(Sighting {
            activity_id: id.to_string(),
            received,
            replied: SystemTime::now(),
        });
    }
}
