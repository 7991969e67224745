//! A publishing channel for each destination.
//!
//! RabbitMQ handles the messages of a channel one after the other. While one queue can't take its message, because the
//! queue has no leader, all messages behind it on the channel wait. So no two destinations share a channel.

use super::connect::Connection;
use crate::util::supervise::Supervisor;
use lapin::{Channel, Error, options::ConfirmSelectOptions};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Semaphore, SemaphorePermit},
    time::timeout,
};

/// Maximum number of messages of a channel whose confirms are awaited. RabbitMQ stops reading a whole connection when 400
/// messages wait for one of its channels.
const MAX_UNCONFIRMED: usize = 200;

/// Timeout for closing a channel on which a confirm did not come. RabbitMQ answers when the queue does.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(70);

/// The publishing channels of a connection, by name: a destination of the configuration, or one of a few for signals.
#[derive(Default)]
pub(super) struct PublishChannels(Mutex<HashMap<String, Arc<PublishChannel>>>);

impl PublishChannels {
    /// The channel to an exchange, or to a queue by the default exchange. An exchange and a queue of the same name share it.
    pub(super) async fn to(&self, destination: &str) -> Arc<PublishChannel> {
        let mut channels = self.0.lock().await;
        match channels.get(destination) {
            Some(channel) => Arc::clone(channel),
            None => Arc::clone(channels.entry(destination.to_owned()).or_default()),
        }
    }

    /// Drops the channel to an exchange or queue. It is closed when the last of its messages is confirmed.
    pub(super) async fn leave(&self, destination: &str) {
        self.0.lock().await.remove(destination);
    }
}

/// One of them. It is opened when a message needs it, and again after the broker has closed it.
pub(super) struct PublishChannel {
    channel: Mutex<Option<Channel>>,
    room: Semaphore,
}

impl Default for PublishChannel {
    fn default() -> Self {
        Self {
            channel: Mutex::default(),
            room: Semaphore::new(MAX_UNCONFIRMED),
        }
    }
}

impl PublishChannel {
    /// Waits until a message may be sent. The permit is kept until its confirm.
    pub(super) async fn room(&self) -> Option<SemaphorePermit<'_>> {
        self.room.acquire().await.ok()
    }

    /// The channel, or a new one if the broker has closed it.
    pub(super) async fn open(&self, connection: &Connection) -> Result<Channel, Error> {
        let mut kept = self.channel.lock().await;
        if let Some(channel) = &*kept
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        let fresh = connection.create_channel().await?;
        fresh
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        *kept = Some(fresh.clone());
        Ok(fresh)
    }

    /// Gives a channel up on which a confirm did not come. The next message gets another channel.
    pub(super) async fn give_up(&self, channel: Channel, supervisor: &Supervisor) {
        let mut kept = self.channel.lock().await;
        if kept.as_ref().is_some_and(|kept| kept.id() == channel.id()) {
            *kept = None;
        }
        drop(kept);
        supervisor.spawn("the close of a silent channel", async move {
            let closing = channel.close(200, "no confirm came".into());
            drop(timeout(CLOSE_TIMEOUT, closing).await);
        });
    }
}
