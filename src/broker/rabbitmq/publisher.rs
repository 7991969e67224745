//! The publishing half of a generation: a channel for each destination, and a confirm for each message. It also assigns
//! each return to the message that it belongs to.

use super::{
    confirm_clock::silent_for,
    connect::Connection,
    convert,
    message::Message,
    posts::Posts,
    publish_channels::{PublishChannel, PublishChannels},
    unconfirmed::{Awaited, Unconfirmed},
};
use crate::{
    broker::{Destination, Inbound, Link, PublishError},
    task::TaskId,
    util::{
        crash_point::{CrashPoint, crash_point},
        supervise::Supervisor,
    },
};
use lapin::{
    BasicProperties, Channel, Confirmation, Error, ErrorKind, Event, options::BasicPublishOptions,
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// Timeout for a confirm while the broker is not blocked. After it, the channel is given up.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout for the confirm of a cancel or an answer. A worker's next heartbeat asks again, and a cancel is tried again.
const SIGNAL_TIMEOUT: Duration = Duration::from_secs(4);

/// Number of channels for the cancels and answers of an exchange. Answers go to queues of workers, and a queue without a leader
/// stops its channel.
const SIGNAL_CHANNELS: usize = 8;

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
    /// The channels for replies that are parked, and for those that are put back.
    park_posts: Arc<Posts>,
    put_back_posts: Arc<Posts>,
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
            park_posts: Posts::new(),
            put_back_posts: Posts::new(),
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
        let confirmation = self.send(&to, message, true, CONFIRM_TIMEOUT).await?;
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

    /// Opens the channel to a destination before a message needs it. If that fails, the first message finds it. A broker that
    /// is blocked reads no request for a channel, so this does not wait for it.
    pub(crate) async fn prepare(&self, destination: &Destination) {
        let to = self.tasks.to(name_of(destination)).await;
        let mut blocked = self.blocked.subscribe();
        tokio::select! {
            biased;
            blocked = blocked.wait_for(|blocked| *blocked) => drop(blocked),
            opened = self.within(CONFIRM_TIMEOUT, to.open(&self.connection)) => drop(opened),
        }
    }

    /// Closes the channel to a destination once the last of its messages is confirmed.
    pub(crate) async fn leave(&self, destination: &Destination) {
        self.tasks.leave(name_of(destination)).await;
    }

    /// Publishes a reply that is parked as mandatory, and waits for its confirm.
    pub(crate) async fn park(&self, message: &Message<'_>) -> Result<(), PublishError> {
        self.post(&self.park_posts, message).await
    }

    /// Publishes a reply that is put back as mandatory, and waits for its confirm.
    pub(crate) async fn put_back(&self, message: &Message<'_>) -> Result<(), PublishError> {
        self.post(&self.put_back_posts, message).await
    }

    async fn post(&self, posts: &Arc<Posts>, message: &Message<'_>) -> Result<(), PublishError> {
        let seat = posts.seat(message.size());
        let seat = self.within(CONFIRM_TIMEOUT, seat).await??;
        let sending = self.send(seat.channel(), message, true, CONFIRM_TIMEOUT);
        let confirmation = sending.await?;
        let acked = confirmation.is_ack();
        let returned = confirmation.take_message();
        let returned = returned.map(|returned| returned.reply_text.to_string());
        // The others of the batch have the same time limits.
        seat.confirmed(returned).await?;
        acked.then_some(()).ok_or(NACKED)
    }

    /// Publishes a cancel or an answer. If no queue takes it, it is dropped.
    pub(crate) async fn signal(&self, message: &Message<'_>) -> Result<(), PublishError> {
        let mut blocked = self.blocked.subscribe();
        let mut given_up = self.given_up.subscribe();
        // lapin would keep it while the broker takes no messages, and send it when nobody wants it any more.
        tokio::select! {
            unblocked = blocked.wait_for(|blocked| !blocked) => drop(unblocked),
            ended = given_up.wait_for(Option::is_some) => drop(ended),
        }
        let to = channel_of_signal(message);
        let to = self.signals.to(&to).await;
        confirmed(self.send(&to, message, false, SIGNAL_TIMEOUT).await?)
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
        time: Duration,
    ) -> Result<Confirmation, PublishError> {
        let _room = self.within(time, to.room()).await?;
        let opening = to.open(&self.connection);
        let opened = match self.within(CONFIRM_TIMEOUT, opening).await {
            Ok(opened) => opened,
            Err(error) => {
                self.give_up("RabbitMQ opens no channel");
                return Err(error);
            }
        };
        let channel = opened.map_err(|error| self.failed(&error))?;
        let confirm = self.within(time, confirm(&channel, message, mandatory));
        match confirm.await {
            Ok(confirm) => confirm.map_err(|error| self.failed(&error)),
            Err(error) => {
                to.give_up(channel, &self.supervisor).await;
                Err(error)
            }
        }
    }

    /// Awaits a step, as long as the broker is blocked and for this time beyond.
    async fn within<T>(
        &self,
        time: Duration,
        step: impl Future<Output = T>,
    ) -> Result<T, PublishError> {
        let mut given_up = self.given_up.subscribe();
        tokio::select! {
            biased;
            done = step => Ok(done),
            // The connection may be silent, so that it would not answer a close either.
            why = async { given_up.wait_for(Option::is_some).await.ok().and_then(|why| why.clone()) } => {
                Err(PublishError::Unconfirmed(why.unwrap_or_default()))
            }
            () = silent_for(time, self.blocked.subscribe()) => {
                let secs = time.as_secs();
                let why = format!("the broker confirmed nothing for {secs} s");
                Err(PublishError::Unconfirmed(why))
            }
        }
    }

    /// What an error of lapin means for a message. If the connection has failed, the generation is given up.
    fn failed(&self, error: &Error) -> PublishError {
        if error.is_amqp_soft_error() {
            return PublishError::Refused(error.to_string());
        }
        // The channel was closed by a refusal just before, or given up. If the connection has ended too, the watch sees
        // that.
        if !matches!(error.kind(), ErrorKind::InvalidChannelState(..)) {
            self.give_up(&error.to_string());
        }
        PublishError::Unconfirmed(error.to_string())
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

/// The name of the channel of a cancel or an answer: by its exchange, and one of a few for its queue or task.
fn channel_of_signal(message: &Message<'_>) -> String {
    let mut hasher = DefaultHasher::new();
    message.routing_key.hash(&mut hasher);
    let number = hasher.finish() % SIGNAL_CHANNELS as u64;
    format!("{} {number}", message.exchange)
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

/// The name of the channel to a destination: its exchange, or its queue.
fn name_of(destination: &Destination) -> &str {
    match destination {
        Destination::Queue(queue) => &queue.name,
        Destination::Exchange { name, .. } => name,
    }
}
