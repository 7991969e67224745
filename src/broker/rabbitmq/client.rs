//! RabbitMQ through lapin, without lapin's automatic recovery.
//!
//! A supervisor keeps one *generation* at a time: two connections with their channels, topology and consumer,
//! opened as a whole and thrown away as a whole. What was not confirmed on one generation is for the caller to
//! publish again on the next.

use super::{
    generation::Generation,
    options::Options,
    supervisor::{CLOSE_TIMEOUT, Supervisor},
};
use crate::broker::{
    Broker, Link, Message, PublishError, Published, QueueError, QueueFacts, QueueSpec, Replies,
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::warn;

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
        let process = options.supervisor.clone();
        let supervisor = Supervisor {
            options,
            current: current_tx,
            link: link_tx,
            replies: replies_tx,
        };
        let connecting = process.spawn_loop("the connection to the broker", supervisor.run());
        let broker = Self {
            reply_queue,
            current,
            link,
            supervisor: Mutex::new(Some(connecting)),
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
        let supervisor = self.supervisor.lock().take();
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
