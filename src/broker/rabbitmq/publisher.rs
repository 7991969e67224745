//! The publishing half of a generation: a channel for each destination, and a confirm for each message. It also assigns
//! each return to the message that it belongs to.

use super::{
    confirm_clock::silent_for,
    connect::Connection,
    convert,
    message::Message,
    publish_channels::{PublishChannel, PublishChannels},
    unconfirmed::{Awaited, Unconfirmed},
};
use crate::{
    broker::{Inbound, Link, PublishError},
    task::TaskId,
    util::{
        crash_point::{CrashPoint, crash_point},
        supervise::Supervisor,
    },
};
use lapin::{
    BasicProperties, Channel, Confirmation, Error, ErrorKind, Event, options::BasicPublishOptions,
};
use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};

/// Timeout for a confirm while the broker is not blocked. After it, the channel is given up.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// Number of channels for replies that are parked or put back.
const POST_CHANNELS: usize = 16;

const NACKED: PublishError =
    PublishError::Nacked("(basic.nack): the queue is full or can't be written");

/// The publishing half of a generation.
pub(crate) struct Publisher {
    pub(crate) connection: Connection,
    /// The channels for task messages, many of which wait for their confirms at once. What happens at one destination does not
    /// affect the others.
    tasks: PublishChannels,
    /// The channels for messages that are not mandatory, by exchange: cancels, and answers to heartbeats. They are separate from
    /// those of the tasks, so that a return on a task's channel belongs to a task.
    signals: PublishChannels,
    /// The channels for replies that are parked or put back. One message at a time is on each, so that a return belongs to the
    /// message that was sent last.
    posts: [AsyncMutex<PublishChannel>; POST_CHANNELS],
    next_post: AtomicUsize,
    /// Why the generation was given up; `None` until then.
    given_up: watch::Sender<Option<String>>,
    blocked: watch::Sender<bool>,
    unconfirmed: Unconfirmed,
    inbound: mpsc::Sender<Inbound>,
    supervisor: Supervisor,
}

impl Publisher {
    pub(crate) fn new(
        connection: Connection,
        inbound: mpsc::Sender<Inbound>,
        supervisor: Supervisor,
    ) -> Self {
        Self {
            connection,
            tasks: PublishChannels::default(),
            signals: PublishChannels::default(),
            posts: Default::default(),
            next_post: AtomicUsize::new(0),
            given_up: watch::channel(None).0,
            blocked: watch::channel(false).0,
            unconfirmed: Unconfirmed::default(),
            inbound,
            supervisor,
        }
    }

    /// A receiver of the reason for which the generation is given up.
    pub(crate) fn given_up(&self) -> watch::Receiver<Option<String>> {
        self.given_up.subscribe()
    }

    /// Handles an event of the publishing connection.
    pub(crate) fn note(&self, event: Option<Event>, link: &watch::Sender<Link>) {
        match event {
            Some(Event::ConnectionBlocked(why)) => {
                tracing::warn!(why, "the broker blocks publishers");
                self.blocked.send_replace(true);
                link.send_replace(Link::Blocked(why));
            }
            Some(Event::ConnectionUnblocked) => {
                tracing::info!("the broker takes messages again");
                self.blocked.send_replace(false);
                link.send_replace(Link::Up);
            }
            Some(_) | None => {}
        }
    }

    /// Publishes a task's message as mandatory, and waits for its confirm.
    pub(crate) async fn publish(
        &self,
        task: TaskId,
        message: &Message<'_>,
    ) -> Result<(), PublishError> {
        let awaited = Awaited::begin(&self.unconfirmed, task);
        let destination = match message.exchange {
            "" => message.routing_key,
            exchange => exchange,
        };
        let to = self.tasks.to(destination).await;
        let confirmation = self.send(&to, message, true).await?;
        let acked = confirmation.is_ack();
        if let Some(returned) = confirmation.take_message() {
            self.returned(&returned.delivery.properties, returned.reply_text.as_str())
                .await;
        }
        match awaited.returned() {
            Some(returned) => Err(PublishError::Unroutable(returned)),
            None if acked => Ok(()),
            None => Err(NACKED),
        }
    }

    /// Handles a return. RabbitMQ returns an unroutable message before it confirms it. lapin attaches a return to the
    /// next confirm of the channel, and with coalesced confirms that may belong to another message. So the id in the
    /// returned message decides. If that message still waits for its confirm, its publish fails. If it is confirmed
    /// already, the bridge gets [`Inbound::Returned`].
    async fn returned(&self, properties: &BasicProperties, why: &str) {
        let id = properties.message_id().as_ref();
        let Some(task) = id.and_then(|id| id.as_str().parse().ok()) else {
            return;
        };
        // An error means that the inbound stream has no reader any more: the process ends.
        if !self.unconfirmed.awaits(task, why) {
            drop(self.inbound.send(Inbound::Returned(task)).await);
        }
    }

    /// Publishes a reply that is parked or put back as mandatory, and waits for its confirm.
    pub(crate) async fn post(&self, message: &Message<'_>) -> Result<(), PublishError> {
        let next = self.next_post.fetch_add(1, Relaxed) % POST_CHANNELS;
        let to = self.posts[next].lock().await;
        confirmed(self.send(&to, message, true).await?)
    }

    /// Publishes a cancel or an answer. If no queue takes it, it is dropped.
    pub(crate) async fn signal(&self, message: &Message<'_>) -> Result<(), PublishError> {
        let mut blocked = self.blocked.subscribe();
        // lapin would keep it while the broker takes no messages, and send it when nobody wants it any more. An error means that
        // the generation has ended, which the next step finds.
        drop(blocked.wait_for(|blocked| !blocked).await);
        let to = self.signals.to(message.exchange).await;
        confirmed(self.send(&to, message, false).await?)
    }

    /// Sends a message and waits for its confirm, however long the broker stays blocked. When the broker refuses a
    /// message, it closes the channel, and all other messages that wait for a confirm on that channel are refused too.
    /// The next publish opens another channel. A confirm that does not come gives the channel up. If no channel can be had,
    /// or if the connection fails, the generation is given up.
    async fn send(
        &self,
        to: &PublishChannel,
        message: &Message<'_>,
        mandatory: bool,
    ) -> Result<Confirmation, PublishError> {
        let used = Mutex::new(None);
        let confirmed = async {
            let _room = to.room().await;
            let channel = to.open(&self.connection).await?;
            *used.lock() = Some(channel.clone());
            confirm(&channel, message, mandatory).await
        };
        tokio::pin!(confirmed);
        let mut given_up = self.given_up.subscribe();
        let confirm = tokio::select! {
            biased;
            confirm = &mut confirmed => confirm,
            // The connection may be silent, so that it would not answer a close either.
            why = async { given_up.wait_for(Option::is_some).await.ok().and_then(|why| why.clone()) } => {
                return Err(PublishError::Unconfirmed(why.unwrap_or_default()));
            }
            () = silent_for(CONFIRM_TIMEOUT, self.blocked.subscribe()) => {
                let secs = CONFIRM_TIMEOUT.as_secs();
                let why = format!("the broker confirmed nothing for {secs} s");
                let channel = used.lock().take();
                match channel {
                    Some(channel) => to.give_up(channel, &self.supervisor).await,
                    None => self.give_up(&why),
                }
                return Err(PublishError::Unconfirmed(why));
            }
        };
        match confirm {
            Ok(confirmation) => Ok(confirmation),
            Err(error) if error.is_amqp_soft_error() => {
                Err(PublishError::Refused(error.to_string()))
            }
            // The channel was closed by a refusal just before, or given up. If the connection has ended too, the watch
            // sees that.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidChannelState(..)) => {
                Err(PublishError::Unconfirmed(error.to_string()))
            }
            Err(error) => {
                let why = error.to_string();
                self.give_up(&why);
                Err(PublishError::Unconfirmed(why))
            }
        }
    }

    /// Ends all waits for confirms, with this reason.
    pub(crate) fn give_up(&self, why: &str) {
        self.given_up.send_if_modified(|given_up| {
            let first = given_up.is_none();
            if first {
                *given_up = Some(why.to_owned());
            }
            first
        });
    }
}

async fn confirm(
    channel: &Channel,
    message: &Message<'_>,
    mandatory: bool,
) -> Result<Confirmation, Error> {
    let options = BasicPublishOptions {
        mandatory,
        ..Default::default()
    };
    let confirm = channel
        .basic_publish(
            convert::short(message.exchange),
            convert::short(message.routing_key),
            options,
            message.body,
            convert::properties(message),
        )
        .await?;
    if message.message_id.is_some() {
        crash_point(CrashPoint::AfterPublish);
    }
    confirm.await
}

fn confirmed(confirmation: Confirmation) -> Result<(), PublishError> {
    let acked = confirmation.is_ack();
    match confirmation.take_message() {
        Some(returned) => Err(PublishError::Unroutable(returned.reply_text.to_string())),
        None if acked => Ok(()),
        None => Err(NACKED),
    }
}
