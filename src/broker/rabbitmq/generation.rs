//! One generation: the connections and all that belongs to them. It can be used until its first failure.

use super::{
    access::Target,
    connect::{Connection, connect},
    convert,
    missing_queues::MissingQueues,
    options::Options,
    parked_reader,
    probes::Probes,
    publisher::Publisher,
    queue_error::{QueueError, QueueFacts},
    reader::{Reader, ReaderBounds},
    topology,
};
use crate::broker::{Destination, Inbound, Link, ParkedReading, QueueSpec, names::PARKING_QUEUE};
use futures_util::{
    FutureExt, StreamExt,
    future::{Fuse, try_join},
};
use lapin::{Channel, Event, options::QueueDeleteOptions};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use tracing::warn;

/// Timeout for the declaration of the parking queue.
const PARKING_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout for opening the reader of replies again.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Timeout for the broker's answer to a new token.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for the close of the reader. The other connections are closed after it, within the time for all of them.
const READER_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Minimum life of a reader after which another one is opened in the same generation.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// See the module.
///
/// Publishing and asking have a connection each. When the broker blocks publishers, lapin writes nothing at all on
/// that connection.
pub(crate) struct Generation {
    target: Target,
    options: Options,
    publisher: Publisher,
    asking: Connection,
    probes: Probes,
    /// The connection that consumes replies.
    reader: Mutex<Arc<Reader>>,
    bounds: ReaderBounds,
    missing: Arc<MissingQueues>,
}

impl Generation {
    pub(crate) async fn open(
        target: &Target,
        options: &Options,
        inbound: &mpsc::Sender<Inbound>,
        bounds: &ReaderBounds,
        missing: &Arc<MissingQueues>,
    ) -> Result<(Self, mpsc::Receiver<Inbound>), String> {
        let publishing = connect(target, "publishing", &options.identity).await?;
        let asking = connect(target, "asking", &options.identity).await?;
        let (reader, replies) = open_reader(target, options, &asking, bounds, missing).await?;
        let publisher = Publisher::new(publishing, inbound.clone(), options.supervisor.clone());
        let generation = Self {
            target: target.clone(),
            options: options.clone(),
            publisher,
            asking,
            probes: Probes::new(missing, inbound),
            reader: Mutex::new(Arc::new(reader)),
            bounds: bounds.clone(),
            missing: Arc::clone(missing),
        };
        // Tasks go on without the parking queue. Who parks a reply hears what is wrong with it.
        if let Err(error) = generation.declare_parking().await {
            warn!(%error, queue = PARKING_QUEUE, "replies can't be parked");
        }
        Ok((generation, replies))
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
        let mut asking = self.asking.events_listener();
        let mut given_up = self.publisher.given_up();
        let mut reader_opened = Instant::now();
        let reopening = Fuse::terminated();
        tokio::pin!(reopening);
        let mut is_read = true;
        loop {
            tokio::select! {
                event = publishing.next() => {
                    if let Some(why) = ending(event.as_ref()) {
                        return why;
                    }
                    self.publisher.note(event, link);
                }
                event = asking.next() => {
                    if let Some(why) = ending(event.as_ref()) {
                        return why;
                    }
                }
                reply = replies.recv(), if is_read => match reply {
                    // This waits no longer than the bridge needs to begin with a reply.
                    Some(reply) => {
                        if inbound.send(reply).await.is_err() {
                            return "the bridge stopped reading replies".to_owned();
                        }
                    }
                    None => {
                        let why = self.current_reader().ended().await;
                        if reader_opened.elapsed() < GOOD_LIFE {
                            return why;
                        }
                        warn!(why, "the connection that reads replies ended; opening another");
                        is_read = false;
                        reopening.set(self.reopen_reader().fuse());
                    }
                },
                reopened = &mut reopening => match reopened {
                    Ok(reopened) => {
                        (replies, reader_opened, is_read) = (reopened, Instant::now(), true);
                    }
                    Err(why) => return why,
                },
                _ = given_up.changed() => {
                    let why = given_up.borrow().clone();
                    return why.unwrap_or_default();
                }
            }
        }
    }

    fn current_reader(&self) -> Arc<Reader> {
        Arc::clone(&self.reader.lock())
    }

    /// The same server as the files say now.
    async fn target(&self) -> Result<Target, String> {
        let current = self.options.access.for_attempt().await?;
        let mut targets = current.targets.into_iter();
        let same = targets.find(|target| target.uri.is_same_place(&self.target.uri));
        same.ok_or_else(|| "the file of amqp.uri_file names another broker now".to_owned())
    }

    /// Tells the broker a new token on each connection.
    pub(crate) async fn update_secret(&self, token: &str) -> Result<(), String> {
        self.current_reader().update_secret(token);
        let update = async |connection: &Connection| {
            let reason = convert::short("the file of the token has changed");
            let updated = connection.update_secret(token.into(), reason).await;
            updated.map_err(|error| error.to_string())
        };
        let updated = try_join(update(&self.publisher.connection), update(&self.asking));
        match timeout(UPDATE_TIMEOUT, updated).await {
            Ok(updated) => updated.map(|_| ()),
            Err(_) => Err(format!("no answer within {} s", UPDATE_TIMEOUT.as_secs())),
        }
    }

    /// Opens another reader of replies. Publishers go on meanwhile.
    async fn reopen_reader(&self) -> Result<mpsc::Receiver<Inbound>, String> {
        let opening = async {
            let target = self.target().await?;
            open_reader(
                &target,
                &self.options,
                &self.asking,
                &self.bounds,
                &self.missing,
            )
            .await
        };
        let opened = timeout(REOPEN_TIMEOUT, opening).await;
        let secs = REOPEN_TIMEOUT.as_secs();
        let (reader, replies) =
            opened.map_err(|_| format!("no reader of replies within {secs} s"))??;
        *self.reader.lock() = Arc::new(reader);
        Ok(replies)
    }

    /// See [`Probes::inspect`].
    pub(crate) async fn inspect(&self, queue: &QueueSpec) -> Result<QueueFacts, QueueError> {
        self.probes.inspect(&self.asking, queue).await
    }

    /// Closes the channels for a destination once nothing waits for them.
    pub(crate) async fn leave(&self, destination: &Destination) {
        self.publisher.leave(destination).await;
        self.probes.leave(destination.exchange());
        if let Some(queue) = destination.queue() {
            self.probes.leave(&queue.name);
            self.missing.leave(&queue.name);
        }
    }

    pub(crate) async fn find_exchange(&self, name: &str) -> Result<(), QueueError> {
        let find = async |channel: &Channel| match topology::find_exchange(channel, name).await {
            Ok(()) => Ok(()),
            Err(error) if topology::is_missing(&error) => {
                Err(QueueError::NoExchange(name.to_owned()))
            }
            Err(error) => Err(topology::explain(name, &error)),
        };
        self.probes.ask(&self.asking, name, find).await
    }

    pub(crate) async fn declare_parking(&self) -> Result<(), QueueError> {
        let declaring = topology::declare_parking(&self.asking);
        match timeout(PARKING_TIMEOUT, declaring).await {
            Ok(declared) => declared.map_err(|error| topology::explain(PARKING_QUEUE, &error)),
            Err(_) => Err(QueueError::Silent(PARKING_QUEUE.to_owned())),
        }
    }

    /// Begins to read the parking queue, `most` of its messages at most, on a connection of its own. Also tells how many consumers it had
    /// before.
    pub(crate) async fn read_parked(&self, most: u16) -> Result<(ParkedReading, u64), String> {
        let facts = self.parked().await.map_err(|error| error.to_string())?;
        let target = self.target().await?;
        let reading = parked_reader::open(&target, &self.options, (facts.ready, most)).await?;
        Ok((reading, facts.consumers))
    }

    /// What the parking queue has now.
    pub(crate) async fn parked(&self) -> Result<QueueFacts, QueueError> {
        let find = async |channel: &Channel| topology::find_queue(channel, PARKING_QUEUE).await;
        self.probes.ask(&self.asking, PARKING_QUEUE, find).await
    }

    /// Closes all connections. With `clean_up`, it first deletes that queue if the queue is empty.
    pub(crate) async fn close(&self, clean_up: Option<&str>) {
        // Once this connection is closed, a reply that is being parked is back in the queue and is counted.
        drop(timeout(READER_CLOSE_TIMEOUT, self.current_reader().close()).await);
        if let Some(queue) = clean_up
            && let Ok(channel) = self.asking.create_channel().await
        {
            // Quorum queues do not support `if-empty` before RabbitMQ 4, so the count decides.
            if let Ok(QueueFacts { ready: 0, .. }) = topology::find_queue(&channel, queue).await {
                let options = QueueDeleteOptions::default();
                if let Err(error) = channel.queue_delete(convert::short(queue), options).await {
                    tracing::info!(%error, "the reply queue stays until it expires");
                }
            }
        }
        for connection in [&self.publisher.connection, &self.asking] {
            // An error means that the connection is closed already.
            drop(connection.close(200, convert::short("closing")).await);
        }
    }
}

/// Declares what the reader needs, and opens it. Notes if the reply queue was missing.
async fn open_reader(
    target: &Target,
    options: &Options,
    asking: &Connection,
    bounds: &ReaderBounds,
    missing: &MissingQueues,
) -> Result<(Reader, mpsc::Receiver<Inbound>), String> {
    let channel = asking.create_channel().await;
    let channel = channel.map_err(|error| error.to_string())?;
    match topology::find_queue(&channel, &options.reply_queue).await {
        Err(QueueError::Missing(_)) => missing.lose_all(),
        // The answer came on an open channel. An error of the close shows with the next question.
        Ok(_) => drop(channel.close(200, convert::short("done")).await),
        Err(_) => {}
    }
    let declared = topology::declare_shared(asking, options).await;
    declared.map_err(|error| error.to_string())?;
    Reader::open(target, options, bounds).await
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
