//! The publishing half of a generation: one channel for each exchange, and a confirm for each message. It also assigns
//! each return to the message that it belongs to.

use super::{connect::Connection, convert, message::Message};
use crate::{
    broker::{Inbound, Link, PublishError},
    task::TaskId,
    util::crash_point::{CrashPoint, crash_point},
};
use lapin::{
    BasicProperties, Channel, Confirmation, Error, ErrorKind, Event,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};

/// Timeout for a confirm while the broker is not blocked. After it, the generation is given up.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

const NACKED: PublishError =
    PublishError::Nacked("(basic.nack): the queue is full or can't be written");

/// The tasks whose confirm is awaited. The text is set if the broker has returned the message meanwhile. Bounded by the
/// number of tasks that are being published.
type Unconfirmed = Mutex<HashMap<TaskId, Arc<Return>>>;

/// Why the broker returned a message, once it has.
type Return = OnceLock<String>;

/// A task whose confirm is awaited. Dropping this ends the wait.
struct Awaited<'a> {
    all: &'a Unconfirmed,
    task: TaskId,
    returned: Arc<Return>,
}

impl<'a> Awaited<'a> {
    fn begin(all: &'a Unconfirmed, task: TaskId) -> Self {
        let returned = Arc::<Return>::default();
        all.lock().insert(task, Arc::clone(&returned));
        Self {
            all,
            task,
            returned,
        }
    }

    /// Why the broker returned the message, if it has.
    fn returned(&self) -> Option<String> {
        self.returned.get().cloned()
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        // A later attempt for the same task has an entry of its own.
        let own = |returned: &Arc<Return>| Arc::ptr_eq(returned, &self.returned);
        if all.get(&self.task).is_some_and(own) {
            all.remove(&self.task);
        }
    }
}

/// Whether the task's confirm is awaited. Then its publish fails, because of this return.
fn awaits_confirm(all: &Unconfirmed, task: TaskId, why: &str) -> bool {
    match all.lock().get(&task) {
        Some(returned) => {
            // A message is returned once. If it is returned again, the first reason stands.
            drop(returned.set(why.to_owned()));
            true
        }
        None => false,
    }
}

/// A channel for each exchange.
type Channels = AsyncMutex<HashMap<String, Option<Channel>>>;

/// The publishing half of a generation.
pub(crate) struct Publisher {
    pub(crate) connection: Connection,
    /// The channels for task messages, many of which wait for their confirms at once. A refusal at one exchange does
    /// not affect the others. Bounded by the number of exchanges in the configuration.
    tasks: Channels,
    /// The channels for messages that are not mandatory: cancels, and answers to heartbeats. Their channels are
    /// separate from those of the tasks, so that a return on a task's channel belongs to a task.
    signals: Channels,
    /// The channel for all other messages, one at a time, so that a return belongs to the message that was sent last.
    posts: AsyncMutex<Option<Channel>>,
    /// Why the generation was given up; `None` until then.
    given_up: watch::Sender<Option<String>>,
    blocked: watch::Sender<bool>,
    unconfirmed: Unconfirmed,
    inbound: mpsc::Sender<Inbound>,
}

impl Publisher {
    pub(crate) async fn open(
        connection: Connection,
        inbound: mpsc::Sender<Inbound>,
    ) -> Result<Self, Error> {
        let tasks = confirming_channel(&connection).await?;
        let posts = confirming_channel(&connection).await?;
        Ok(Self {
            connection,
            tasks: AsyncMutex::new(HashMap::from([(String::new(), Some(tasks))])),
            signals: AsyncMutex::default(),
            posts: AsyncMutex::new(Some(posts)),
            given_up: watch::channel(None).0,
            blocked: watch::channel(false).0,
            unconfirmed: Unconfirmed::default(),
            inbound,
        })
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
        let channel = self.channel(&self.tasks, message.exchange);
        let confirmation = self.send(channel, message, true).await?;
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
        if !awaits_confirm(&self.unconfirmed, task, why) {
            drop(self.inbound.send(Inbound::Returned(task)).await);
        }
    }

    pub(crate) async fn post(
        &self,
        message: &Message<'_>,
        mandatory: bool,
    ) -> Result<(), PublishError> {
        let confirmation = if mandatory {
            let mut kept = self.posts.lock().await;
            let channel = self.usable(&mut kept);
            self.send(channel, message, true).await?
        } else {
            let channel = self.channel(&self.signals, message.exchange);
            self.send(channel, message, false).await?
        };
        let acked = confirmation.is_ack();
        match confirmation.take_message() {
            Some(returned) => Err(PublishError::Unroutable(returned.reply_text.to_string())),
            None if acked => Ok(()),
            None => Err(NACKED),
        }
    }

    async fn channel(&self, channels: &Channels, exchange: &str) -> Result<Channel, Error> {
        let mut channels = channels.lock().await;
        let kept = channels.entry(exchange.to_owned()).or_default();
        self.usable(kept).await
    }

    /// The kept channel, or a new one if the broker has closed it.
    async fn usable(&self, kept: &mut Option<Channel>) -> Result<Channel, Error> {
        if let Some(channel) = kept
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        let fresh = confirming_channel(&self.connection).await?;
        *kept = Some(fresh.clone());
        Ok(fresh)
    }

    /// Sends a message and waits for its confirm, however long the broker stays blocked. When the broker refuses a
    /// message, it closes the channel, and all other messages that wait for a confirm on that channel are refused too.
    /// The next publish opens another channel. Every other failure gives the generation up.
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
            if message.message_id.is_some() {
                crash_point(CrashPoint::AfterPublish);
            }
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
                // The connection may be silent, so that it would not answer a close either.
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
                // The channel was closed by a refusal just before. If the connection has ended too, the watch sees
                // that.
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

async fn confirming_channel(connection: &Connection) -> Result<Channel, Error> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_belongs_to_the_task_that_its_message_names() {
        let all = Unconfirmed::default();
        let [one, other, confirmed] = [1, 2, 3].map(|id: u128| TaskId::from(id));
        let [first, second] = [one, other].map(|task| Awaited::begin(&all, task));
        drop(Awaited::begin(&all, confirmed));
        assert!(awaits_confirm(&all, other, "NO_ROUTE"));
        assert_eq!(first.returned(), None, "though its confirm brought it");
        assert_eq!(second.returned().as_deref(), Some("NO_ROUTE"));
        assert!(!awaits_confirm(&all, confirmed, "NO_ROUTE"), "too late");
        drop((first, second));
        assert!(all.lock().is_empty());
    }

    #[test]
    fn the_end_of_an_attempt_does_not_end_a_later_one_for_the_same_task() {
        let all = Unconfirmed::default();
        let task = TaskId::from(1);
        let [earlier, later] = [(), ()].map(|()| Awaited::begin(&all, task));
        drop(earlier);
        assert!(awaits_confirm(&all, task, "NO_ROUTE"));
        assert_eq!(later.returned().as_deref(), Some("NO_ROUTE"));
    }
}
