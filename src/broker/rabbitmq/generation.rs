//! One generation: two connections and all that belongs to them. It can be used until its first failure.

use super::{
    connect::{Connection, connect},
    convert,
    options::Options,
    publisher::Publisher,
    queue_error::{QueueError, QueueFacts},
    reader::Reader,
    topology,
    uri::Uri,
};
use crate::broker::{Inbound, Link, QueueSpec, names::PARKING_QUEUE};
use futures_util::StreamExt;
use lapin::{Channel, Event, options::QueueDeleteOptions};
use std::time::Duration;
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::timeout,
};

/// Timeout for a question about a queue, and for opening a channel.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
///
/// Publishing and consuming have a connection each. When the broker blocks publishers, lapin writes nothing at all on
/// that connection, not even acknowledgements.
pub(crate) struct Generation {
    publisher: Publisher,
    consuming: Connection,
    /// The connection that consumes replies.
    replies: Reader,
    /// The channel for questions about queues. The broker closes it after each negative answer.
    probe: Mutex<Option<Channel>>,
}

impl Generation {
    pub(crate) async fn open(
        uri: &Uri,
        options: &Options,
        inbound: &mpsc::Sender<Inbound>,
    ) -> Result<(Self, mpsc::Receiver<Inbound>), String> {
        let said = |error: lapin::Error| error.to_string();
        let publishing = connect(uri, "activity-bridge publishing")
            .await
            .map_err(said)?;
        let consuming = connect(uri, "activity-bridge asking").await.map_err(said)?;
        let declared = topology::declare_shared(&consuming, options).await;
        declared.map_err(said)?;
        let publisher = Publisher::open(publishing, inbound.clone())
            .await
            .map_err(said)?;
        let (replies, incoming) = Reader::open(uri, options).await?;
        let generation = Self {
            publisher,
            consuming,
            replies,
            probe: Mutex::new(None),
        };
        Ok((generation, incoming))
    }

    pub(crate) fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Passes replies on and reports the state of the link, until something fails. Returns the reason.
    pub(crate) async fn watch(
        &self,
        mut replies: mpsc::Receiver<Inbound>,
        inbound: &mpsc::Sender<Inbound>,
        link: &watch::Sender<Link>,
    ) -> String {
        let mut publishing = self.publisher.connection.events_listener();
        let mut consuming = self.consuming.events_listener();
        let mut given_up = self.publisher.given_up();
        loop {
            tokio::select! {
                event = publishing.next() => {
                    if let Some(why) = ending(event.as_ref()) {
                        return why;
                    }
                    self.publisher.note(event, link);
                }
                event = consuming.next() => {
                    if let Some(why) = ending(event.as_ref()) {
                        return why;
                    }
                }
                reply = replies.recv() => match reply {
                    // The stream has room for the whole prefetch, so this does not wait.
                    Some(reply) => {
                        if inbound.send(reply).await.is_err() {
                            return "the bridge stopped reading replies".to_owned();
                        }
                    }
                    None => return self.replies.ended().await,
                },
                _ = given_up.changed() => {
                    let why = given_up.borrow().clone();
                    return why.unwrap_or_default();
                }
            }
        }
    }

    pub(crate) async fn inspect(&self, queue: &QueueSpec) -> Result<QueueFacts, QueueError> {
        self.ask(async |channel| topology::inspect(channel, queue).await)
            .await
    }

    pub(crate) async fn find_exchange(&self, name: &str) -> Result<(), QueueError> {
        let find = async |channel: &Channel| match topology::find_exchange(channel, name).await {
            Ok(()) => Ok(()),
            Err(error) if topology::is_missing(&error) => {
                Err(QueueError::NoExchange(name.to_owned()))
            }
            Err(error) => Err(topology::explain(name, &error)),
        };
        self.ask(find).await
    }

    /// Asks a question about a queue on the channel for such questions, one at a time.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Channel) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        let Ok(mut probe) = timeout(INSPECT_TIMEOUT, self.probe.lock()).await else {
            return Err(no_answer());
        };
        let kept = probe.take();
        let asked = timeout(INSPECT_TIMEOUT, async {
            let channel = match kept {
                Some(channel) => channel,
                None => {
                    let opened = self.consuming.create_channel().await;
                    opened.map_err(|error| QueueError::Away(error.to_string()))?
                }
            };
            let answer = question(&channel).await?;
            Ok((channel, answer))
        });
        match asked.await {
            Ok(Ok((channel, answer))) => {
                *probe = Some(channel);
                Ok(answer)
            }
            // An error has closed the channel. The next question opens another.
            Ok(Err(error)) => Err(error),
            Err(_) => Err(no_answer()),
        }
    }

    pub(crate) async fn declare_parking(&self) -> Result<(), QueueError> {
        let declaring = topology::declare_parking(&self.consuming);
        match timeout(INSPECT_TIMEOUT, declaring).await {
            Ok(declared) => declared.map_err(|error| topology::explain(PARKING_QUEUE, &error)),
            Err(_) => Err(no_answer()),
        }
    }

    /// Closes both connections. With `clean_up`, it first deletes that queue if the queue is empty.
    pub(crate) async fn close(&self, clean_up: Option<&str>) {
        // Once this connection is closed, a reply that is being parked is back in the queue and is counted.
        self.replies.close().await;
        if let Some(queue) = clean_up
            && let Ok(channel) = self.consuming.create_channel().await
        {
            // Quorum queues do not support `if-empty` before RabbitMQ 4, so the count decides.
            let spec = QueueSpec::as_it_is(queue);
            if let Ok(QueueFacts { ready: 0, .. }) = topology::inspect(&channel, &spec).await {
                let options = QueueDeleteOptions::default();
                if let Err(error) = channel.queue_delete(convert::short(queue), options).await {
                    tracing::info!(%error, "the reply queue stays until it expires");
                }
            }
        }
        for connection in [&self.publisher.connection, &self.consuming] {
            // An error means that the connection is closed already.
            drop(connection.close(200, convert::short("closing")).await);
        }
    }
}

fn no_answer() -> QueueError {
    let secs = INSPECT_TIMEOUT.as_secs();
    QueueError::Away(format!("no answer within {secs} s"))
}

/// Why the connection has ended, if this event says that it has. A soft error closes one channel only, and the user of
/// that channel sees the error.
fn ending(event: Option<&Event>) -> Option<String> {
    match event {
        Some(Event::Error(error)) if error.is_amqp_soft_error() => None,
        Some(Event::Error(error)) => Some(error.to_string()),
        None => Some("the connection ended".to_owned()),
        Some(_) => None,
    }
}
