//! RabbitMQ through lapin, without lapin's automatic recovery.
//!
//! A supervisor keeps one *generation* at a time: two connections with their channels, topology and consumer,
//! opened as a whole and thrown away as a whole. What was not confirmed on one generation is for the caller to
//! publish again on the next.

pub mod check;
mod connect;
mod convert;
mod generation;
mod publisher;
mod topology;
mod uri;

pub use uri::Uri;

use super::{
    Broker, Delivery, Link, Message, PublishError, Published, QueueError, QueueFacts, QueueSpec,
    Replies,
};
use crate::backoff::Backoff;
use async_trait::async_trait;
use generation::Generation;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tracing::{info, warn};

/// For everything from the TCP connection to the last declaration.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// A generation that lived this long was a good one: the next begins without waiting.
const GOOD_LIFE: Duration = Duration::from_secs(10);
/// For the two closing handshakes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// How to reach the broker, and what the bridge needs there.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tried in turn.
    pub uris: Vec<Uri>,
    /// The name of the reply queue: the same for the life of the token store.
    pub reply_queue: String,
    /// How long that queue is kept while nobody consumes from it.
    pub replies_expire: Duration,
    /// How many replies may be unacknowledged at once.
    pub prefetch: u16,
}

/// See the module.
pub struct RabbitMq {
    reply_queue: String,
    current: watch::Receiver<Option<Arc<Generation>>>,
    link: watch::Receiver<Link>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl RabbitMq {
    /// Starts the supervisor, which connects in the background, and returns the stream of replies.
    #[must_use]
    pub fn start(options: Options) -> (Self, Replies) {
        let (current_tx, current) = watch::channel(None);
        let (link_tx, link) = watch::channel(Link::Away("connecting".to_owned()));
        let (replies_tx, replies) = mpsc::channel(usize::from(options.prefetch));
        let reply_queue = options.reply_queue.clone();
        let supervisor = Supervisor {
            options,
            current: current_tx,
            link: link_tx,
            replies: replies_tx,
        };
        let broker = Self {
            reply_queue,
            current,
            link,
            supervisor: Mutex::new(Some(tokio::spawn(supervisor.run()))),
        };
        (broker, replies)
    }

    fn current(&self) -> Option<Arc<Generation>> {
        self.current.borrow().clone()
    }
}

#[async_trait]
impl Broker for RabbitMq {
    async fn publish(&self, message: &Message<'_>) -> Published {
        match self.current() {
            Some(generation) => generation.publisher().publish(message).await,
            None => Err(PublishError::Away).into(),
        }
    }

    async fn post(&self, message: &Message<'_>, mandatory: bool) -> Result<(), PublishError> {
        let generation = self.current().ok_or(PublishError::Away)?;
        generation.publisher().post(message, mandatory).await
    }

    async fn inspect(&self, queue: &QueueSpec) -> Result<QueueFacts, QueueError> {
        match self.current() {
            Some(generation) => generation.inspect(queue).await,
            None => Err(QueueError::Away("not connected".to_owned())),
        }
    }

    async fn find_exchange(&self, name: &str) -> Result<(), QueueError> {
        match self.current() {
            Some(generation) => generation.find_exchange(name).await,
            None => Err(QueueError::Away("not connected".to_owned())),
        }
    }

    async fn declare_parking(&self) -> Result<(), QueueError> {
        match self.current() {
            Some(generation) => generation.declare_parking().await,
            None => Err(QueueError::Away("not connected".to_owned())),
        }
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    fn reply_to(&self) -> &str {
        &self.reply_queue
    }

    async fn close(&self, forget_replies: bool) {
        let supervisor = self
            .supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(supervisor) = supervisor {
            supervisor.abort();
        }
        if let Some(generation) = self.current() {
            let queue = forget_replies.then_some(self.reply_queue.as_str());
            let closing = generation.close(queue);
            if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
                warn!("the broker did not answer the closing handshake in time");
            }
        }
    }
}

struct Supervisor {
    options: Options,
    current: watch::Sender<Option<Arc<Generation>>>,
    link: watch::Sender<Link>,
    replies: mpsc::Sender<Delivery>,
}

impl Supervisor {
    async fn run(self) {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        for uri in self.options.uris.iter().cycle() {
            let opened = timeout(OPEN_TIMEOUT, Generation::open(uri, &self.options)).await;
            let why = match opened {
                Ok(Ok((generation, consumer))) => {
                    info!(broker = %uri, "connected to the broker");
                    let born = Instant::now();
                    let why = self.live(Arc::new(generation), consumer).await;
                    if born.elapsed() > GOOD_LIFE {
                        backoff.reset();
                    }
                    why
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no connection within {} s", OPEN_TIMEOUT.as_secs()),
            };
            warn!(broker = %uri, why, "no connection to the broker");
            self.link.send_replace(Link::Away(why));
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// Offers a generation to all, until it fails; says why it did.
    async fn live(&self, generation: Arc<Generation>, consumer: lapin::Consumer) -> String {
        self.current.send_replace(Some(Arc::clone(&generation)));
        self.link.send_replace(Link::Up);
        let why = generation.watch(consumer, &self.replies, &self.link).await;
        self.current.send_replace(None);
        self.link.send_replace(Link::Away(why.clone()));
        generation.publisher().give_up(&why);
        if timeout(CLOSE_TIMEOUT, generation.close(None))
            .await
            .is_err()
        {
            info!("the old connection did not close in time; it is dropped");
        }
        why
    }
}
