//! One generation: two connections and all that hangs on them, good until the first thing breaks.

use super::{
    super::{
        Delivery, Link, Message, PARKING_QUEUE, PublishError, Published, QueueError, QueueFacts,
        QueueSpec,
    },
    Options, Uri,
    connect::{Connection, connect},
    convert, topology,
};
use futures_util::StreamExt;
use lapin::{
    Channel, Confirmation, Consumer, Error, ErrorKind, Event,
    options::{
        BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        QueueDeleteOptions,
    },
    types::FieldTable,
};
use std::{collections::HashMap, time::Duration};
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::timeout,
};

/// How late a confirm may be while the broker is not blocked. Past it the connection is given up.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// For a question about a queue, and for opening a channel.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
///
/// Publishing and consuming have a connection each: when the broker blocks publishers, lapin writes nothing at all on
/// that connection, acknowledgements included.
pub(super) struct Generation {
    publishing: Connection,
    consuming: Connection,
    /// Task messages, many in flight, on a channel for each exchange: what the broker refuses at one does not touch the
    /// others. As many as the configuration has exchanges.
    tasks: Mutex<HashMap<String, Option<Channel>>>,
    /// Everything else, one at a time, so that a return can only be of the message that was just sent.
    posts: Mutex<Option<Channel>>,
    /// Where replies come from.
    replies: Channel,
    /// For questions about queues; the broker closes it with every unwelcome answer.
    probe: Mutex<Option<Channel>>,
    /// Why a publisher gave this generation up.
    given_up: watch::Sender<Option<String>>,
    blocked: watch::Sender<bool>,
}

impl Generation {
    pub(super) async fn open(uri: &Uri, options: &Options) -> Result<(Self, Consumer), Error> {
        let publishing = connect(uri, "activity-bridge publishing").await?;
        let consuming = connect(uri, "activity-bridge consuming").await?;
        topology::declare_shared(&consuming, &options.reply_queue).await?;

        let tasks = confirming_channel(&publishing).await?;
        let posts = confirming_channel(&publishing).await?;

        let replies = consuming.create_channel().await?;
        replies
            .basic_qos(options.prefetch, BasicQosOptions::default())
            .await?;
        let consumer = replies
            .basic_consume(
                convert::short(&options.reply_queue),
                convert::short("activity-bridge"),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        let generation = Self {
            publishing,
            consuming,
            tasks: Mutex::new(HashMap::from([(String::new(), Some(tasks))])),
            posts: Mutex::new(Some(posts)),
            replies,
            probe: Mutex::new(None),
            given_up: watch::channel(None).0,
            blocked: watch::channel(false).0,
        };
        Ok((generation, consumer))
    }

    /// Hands replies on and reports on the link, until something breaks; says what.
    pub(super) async fn watch(
        &self,
        mut consumer: Consumer,
        replies: &mpsc::Sender<Delivery>,
        link: &watch::Sender<Link>,
    ) -> String {
        let mut publishing = self.publishing.events_listener();
        let mut consuming = self.consuming.events_listener();
        let mut given_up = self.given_up.subscribe();
        loop {
            tokio::select! {
                event = publishing.next() => {
                    if let Some(why) = ending(event.as_ref()) {
                        return why;
                    }
                    self.note(event, link);
                }
                event = consuming.next() => {
                    if let Some(why) = ending(event.as_ref()) {
                        return why;
                    }
                }
                delivery = consumer.next() => match delivery {
                    // As many as the prefetch fit, so this waits for nothing.
                    Some(Ok(delivery)) => {
                        if replies.send(convert::delivery(delivery)).await.is_err() {
                            return "the bridge stopped reading replies".to_owned();
                        }
                    }
                    Some(Err(error)) => return error.to_string(),
                    None => return "the broker ended the consumer of replies".to_owned(),
                },
                _ = given_up.changed() => {
                    let why = given_up.borrow().clone();
                    return why.unwrap_or_default();
                }
            }
        }
    }

    /// Takes note of an event on the publishing connection.
    fn note(&self, event: Option<Event>, link: &watch::Sender<Link>) {
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

    pub(super) async fn publish(&self, message: &Message<'_>) -> Published {
        let channel = async {
            let mut channels = self.tasks.lock().await;
            let kept = channels.entry(message.exchange.to_owned()).or_default();
            self.usable(kept).await
        };
        let confirmation = match self.send(channel, message, true).await {
            Ok(confirmation) => confirmation,
            Err(error) => return Err(error).into(),
        };
        let result = match confirmation.is_ack() {
            true => Ok(()),
            false => Err(PublishError::Nacked),
        };
        let Some(returned) = confirmation.take_message() else {
            return result.into();
        };
        // lapin attaches a return to the next confirm of the channel, which under coalesced acknowledgements need
        // not be the confirm of the message returned.
        let id = returned.delivery.properties.message_id().as_ref();
        let id = id.map(ToString::to_string).unwrap_or_default();
        if message.message_id == Some(id.as_str()) {
            return Err(PublishError::Unroutable(returned.reply_text.to_string())).into();
        }
        Published {
            result,
            other_returned: Some(id),
        }
    }

    pub(super) async fn post(
        &self,
        message: &Message<'_>,
        mandatory: bool,
    ) -> Result<(), PublishError> {
        let mut kept = self.posts.lock().await;
        let channel = self.usable(&mut kept);
        let confirmation = self.send(channel, message, mandatory).await?;
        let acked = confirmation.is_ack();
        match confirmation.take_message() {
            Some(returned) => Err(PublishError::Unroutable(returned.reply_text.to_string())),
            None if acked => Ok(()),
            None => Err(PublishError::Nacked),
        }
    }

    /// The channel that is kept, or a fresh one in its place where the broker has closed it.
    async fn usable(&self, kept: &mut Option<Channel>) -> Result<Channel, Error> {
        if let Some(channel) = kept
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        let fresh = confirming_channel(&self.publishing).await?;
        *kept = Some(fresh.clone());
        Ok(fresh)
    }

    /// Sends a message and awaits its confirm, however long the broker stays blocked. The broker closes a channel with
    /// what it refuses, and what else waits for its confirm there is refused too; whoever publishes next opens another.
    /// Every other failure gives the generation up.
    async fn send(
        &self,
        channel: impl Future<Output = Result<Channel, Error>>,
        message: &Message<'_>,
        mandatory: bool,
    ) -> Result<Confirmation, PublishError> {
        let options = BasicPublishOptions {
            mandatory,
            ..Default::default()
        };
        let confirmed = async {
            let confirm = channel
                .await?
                .basic_publish(
                    convert::short(message.exchange),
                    convert::short(message.routing_key),
                    options,
                    message.body,
                    convert::properties(message),
                )
                .await?;
            confirm.await
        };
        tokio::pin!(confirmed);
        let mut blocked = self.blocked.subscribe();
        let mut given_up = self.given_up.subscribe();
        loop {
            let given_up = given_up.wait_for(Option::is_some);
            let unblocked = blocked.wait_for(|blocked| !blocked);
            let confirm = tokio::select! {
                biased;
                confirm = &mut confirmed => Some(confirm),
                // Its connection may be one that answers nothing any more, not even to being closed.
                why = async { given_up.await.ok().and_then(|why| why.clone()) } => {
                    return Err(PublishError::Unconfirmed(why.unwrap_or_default()));
                }
                _ = async { drop(unblocked.await); tokio::time::sleep(CONFIRM_TIMEOUT).await } => None,
            };
            match confirm {
                Some(Ok(confirmation)) => return Ok(confirmation),
                Some(Err(error)) if error.is_amqp_soft_error() => {
                    return Err(PublishError::Refused(error.to_string()));
                }
                // Refused just now, and this came after. Where the connection has gone too, that is seen elsewhere.
                Some(Err(error)) if matches!(error.kind(), ErrorKind::InvalidChannelState(..)) => {
                    return Err(PublishError::Unconfirmed(error.to_string()));
                }
                Some(Err(error)) => {
                    let why = error.to_string();
                    self.give_up(&why);
                    return Err(PublishError::Unconfirmed(why));
                }
                None if *blocked.borrow() => {}
                None => {
                    let secs = CONFIRM_TIMEOUT.as_secs();
                    let why = format!("the broker confirmed nothing for {secs} s");
                    self.give_up(&why);
                    return Err(PublishError::Unconfirmed(why));
                }
            }
        }
    }

    /// Lets nobody wait any longer for a confirm.
    pub(super) fn give_up(&self, why: &str) {
        self.given_up.send_if_modified(|given_up| {
            let first = given_up.is_none();
            if first {
                *given_up = Some(why.to_owned());
            }
            first
        });
    }

    pub(super) async fn inspect(&self, queue: &QueueSpec) -> Result<QueueFacts, QueueError> {
        self.ask(async |channel| topology::inspect(channel, queue).await)
            .await
    }

    pub(super) async fn find_exchange(&self, name: &str) -> Result<(), QueueError> {
        let find = async |channel: &Channel| match topology::find_exchange(channel, name).await {
            Ok(()) => Ok(()),
            Err(error) if topology::is_missing(&error) => {
                Err(QueueError::NoExchange(name.to_owned()))
            }
            Err(error) => Err(topology::explain(name, &error)),
        };
        self.ask(find).await
    }

    /// Asks a question on the channel for questions, one at a time.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Channel) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        let mut probe = self.probe.lock().await;
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
            // An error has closed the channel; the next question opens another.
            Ok(Err(error)) => Err(error),
            Err(_) => Err(no_answer()),
        }
    }

    pub(super) async fn declare_parking(&self) -> Result<(), QueueError> {
        let declaring = topology::declare_parking(&self.consuming);
        match timeout(INSPECT_TIMEOUT, declaring).await {
            Ok(declared) => declared.map_err(|error| topology::explain(PARKING_QUEUE, &error)),
            Err(_) => Err(no_answer()),
        }
    }

    /// Ends both connections, and with `forget` deletes that queue first, if nothing is in it.
    pub(super) async fn close(&self, forget: Option<&str>) {
        if let Some(queue) = forget
            // With its channel closed, a reply that is being parked is back in the queue, and counted.
            && self.replies.close(200, convert::short("closing")).await.is_ok()
            && let Ok(channel) = self.consuming.create_channel().await
        {
            // A quorum queue does not know `if-empty` before RabbitMQ 4, so the count decides.
            let spec = QueueSpec::as_it_is(queue);
            if let Ok(QueueFacts { ready: 0, .. }) = topology::inspect(&channel, &spec).await {
                let options = QueueDeleteOptions::default();
                if let Err(error) = channel.queue_delete(convert::short(queue), options).await {
                    tracing::info!(%error, "the reply queue stays until it expires");
                }
            }
        }
        for connection in [&self.publishing, &self.consuming] {
            // What is closed already says so, and that is fine.
            drop(connection.close(200, convert::short("closing")).await);
        }
    }
}

fn no_answer() -> QueueError {
    let secs = INSPECT_TIMEOUT.as_secs();
    QueueError::Away(format!("no answer within {secs} s"))
}

/// Why the connection has ended, if this event says that it has. Soft errors close a channel alone, and whoever uses
/// that channel hears of it.
fn ending(event: Option<&Event>) -> Option<String> {
    match event {
        Some(Event::Error(error)) if error.is_amqp_soft_error() => None,
        Some(Event::Error(error)) => Some(error.to_string()),
        None => Some("the connection ended".to_owned()),
        Some(_) => None,
    }
}

async fn confirming_channel(connection: &Connection) -> Result<Channel, Error> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}
