//! The broker: the seam between the bridge and whatever carries messages to workers.
//!
//! No type of an AMQP client crosses it. An implementation keeps its own connections and says through
//! [`Broker::link`] whether it can be used; callers try again when it can.

pub mod rabbitmq;

use crate::{dead_letter::DeadLetter, task::HeaderValue};
use async_trait::async_trait;
use std::fmt;
use tokio::sync::{mpsc, watch};

/// The exchange to which the bridge publishes cancels, by task id. Topic, durable.
pub const CONTROL_EXCHANGE: &str = "activity-bridge.control";
/// The exchange through which locked-down workers may reply. Direct, durable.
pub const REPLIES_EXCHANGE: &str = "activity-bridge.replies";
/// The exchange through which messages come back that a queue could not hand to a worker. Headers, durable: the header
/// [`REPLY_QUEUE`] brings each to the process that has its task.
pub const DEAD_LETTERS_EXCHANGE: &str = "activity-bridge.dead-letters";
/// Where dead letters go that no process claims: to the parking queue. Fanout, durable.
pub const UNCLAIMED_EXCHANGE: &str = "activity-bridge.unclaimed";
/// The queue of replies that could not be used, and of dead letters of processes that are gone.
pub const PARKING_QUEUE: &str = "activity-bridge.parked";
/// The header that says why a reply was parked.
pub const PARKED_BECAUSE: &str = "parked-because";
/// The header of a task's message that says whose it is: the same as its `reply_to`.
pub const REPLY_QUEUE: &str = "reply-queue";
/// The `app_id` of every message of ours.
pub const APP_ID: &str = "activity-bridge";

/// A way to hand messages on and to hear the answers.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Publishes a task's message, mandatory and persistent, and waits for the broker's confirm.
    ///
    /// While publishers are blocked it waits; while the link is away it fails at once.
    async fn publish(&self, message: &Message<'_>) -> Published;

    /// Publishes anything else: parked replies (`mandatory`) and control messages (not).
    async fn post(&self, message: &Message<'_>, mandatory: bool) -> Result<(), PublishError>;

    /// Declares or checks a queue, and says how full and how popular it is.
    async fn inspect(&self, queue: &QueueSpec) -> Result<QueueFacts, QueueError>;

    /// Looks whether an exchange of the operator's is there.
    async fn find_exchange(&self, name: &str) -> Result<(), QueueError>;

    /// Declares the parking queue, and where dead letters come to it from, once more.
    async fn declare_parking(&self) -> Result<(), QueueError>;

    /// Whether the broker can be used, as it changes.
    fn link(&self) -> watch::Receiver<Link>;

    /// Where workers send replies; the same for the life of the process.
    fn reply_to(&self) -> &str;

    /// Ends all connections in good order. With `forget_replies`, the reply queue is deleted if it is empty.
    async fn close(&self, forget_replies: bool);
}

/// Replies, across however many connections they come.
pub type Replies = mpsc::Receiver<Delivery>;

/// A message to be published.
#[derive(Debug)]
pub struct Message<'a> {
    /// Empty for the default exchange.
    pub exchange: &'a str,
    /// At most 255 bytes, as all short strings are.
    pub routing_key: &'a str,
    /// As it is.
    pub body: &'a [u8],
    /// The MIME type of the body.
    pub content_type: Option<&'a str>,
    /// The message's id, which the broker hands back with a return.
    pub message_id: Option<&'a str>,
    /// The id of the task that it is about.
    pub correlation_id: Option<&'a str>,
    /// The AMQP property `type`.
    pub kind: Option<&'a str>,
    /// Where to answer.
    pub reply_to: Option<&'a str>,
    /// Seconds since 1970.
    pub timestamp_secs: Option<u64>,
    /// How long it may wait in a queue, in milliseconds.
    pub expiration_ms: Option<u64>,
    /// Its priority, for queues that have them.
    pub priority: Option<u8>,
    /// Application headers.
    pub headers: Vec<(&'a str, &'a HeaderValue)>,
}

/// What became of an attempt to publish.
#[derive(Debug, PartialEq, Eq)]
pub struct Published {
    /// Whether the broker confirmed the message.
    pub result: Result<(), PublishError>,
    /// The id of *another* message, whose return was learnt beside this confirm.
    pub other_returned: Option<String>,
}

impl From<Result<(), PublishError>> for Published {
    fn from(result: Result<(), PublishError>) -> Self {
        Self {
            result,
            other_returned: None,
        }
    }
}

/// Why a message was not taken. Each may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection.
    #[error("the broker is away")]
    Away,
    /// No queue takes it.
    #[error("unroutable: {0}")]
    Unroutable(String),
    /// The broker refused it: the queue is full, or its leader is gone.
    #[error("the broker refused it (basic.nack): the queue is full or can't be written")]
    Nacked,
    /// The broker will not have it: no permission to write there, or no such exchange.
    #[error("the broker refuses it: {0}")]
    Refused(String),
    /// The connection ended, or the confirm did not come in time. The broker may have it all the same.
    #[error("not confirmed: {0}")]
    Unconfirmed(String),
}

impl PublishError {
    /// The label for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Unroutable(_) => "unroutable",
            Self::Nacked => "nacked",
            Self::Refused(_) => "refused",
            Self::Unconfirmed(_) => "unconfirmed",
        }
    }
}

/// A queue of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// Its name.
    pub name: String,
    /// Declare it as a durable quorum queue with these arguments, rather than only check that it is there.
    pub declare: Option<QueueArguments>,
}

impl QueueSpec {
    /// A queue that is taken as it is.
    #[must_use]
    pub fn as_it_is(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            declare: None,
        }
    }
}

/// As good as none. RabbitMQ 4 takes 20 where nothing is said, and drops the message then.
pub const NO_DELIVERY_LIMIT: u64 = 1_000_000_000;

/// What a queue is declared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueArguments {
    /// Whether what it can't hand to a worker comes back, at least once, through [`DEAD_LETTERS_EXCHANGE`].
    pub dead_letters: bool,
    /// How often a message may go back into the queue.
    pub delivery_limit: u64,
}

/// What the broker tells of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueFacts {
    /// Messages waiting for a consumer.
    pub ready: u64,
    /// Consumers.
    pub consumers: u64,
}

/// Why a queue, or an exchange, can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The broker could not be asked.
    #[error("the broker could not be asked: {0}")]
    Away(String),
    /// It isn't there, and the route says not to declare it.
    #[error("the queue {0:?} does not exist; create it, or remove `declare = false`")]
    Missing(String),
    /// The exchange isn't there. Only its owner knows of what type it should be.
    #[error(
        "the exchange {0:?} does not exist; create it: the bridge declares no exchange but its own"
    )]
    NoExchange(String),
    /// It is there with other arguments.
    #[error(
        "the queue {queue:?} exists with other arguments ({difference}); delete it, or set `declare = false` to use \
         it as it is"
    )]
    Conflict {
        /// The queue.
        queue: String,
        /// Which argument differs, in the broker's words.
        difference: String,
    },
    /// The user may not.
    #[error("the broker refuses access: {0}")]
    Forbidden(String),
}

/// Whether the broker can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// No connection, and why.
    Away(String),
    /// Connected.
    Up,
    /// Connected, but the broker takes no messages for now, and why.
    Blocked(String),
}

impl Link {
    /// Whether there is a connection at all.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match self {
            Self::Up | Self::Blocked(_) => true,
            Self::Away(_) => false,
        }
    }
}

/// A reply as it came from the broker, or a dead letter.
#[derive(Debug)]
pub struct Delivery {
    /// What it is where no worker sent it: then all else is the task's own message.
    pub dead_letter: Option<DeadLetter>,
    /// The id of the task that it is about, if the worker said so.
    pub correlation_id: Option<String>,
    /// The property `type`.
    pub kind: Option<String>,
    /// Where the worker wants an answer.
    pub reply_to: Option<String>,
    /// The MIME type that the worker gave.
    pub content_type: Option<String>,
    /// The headers that are texts or numbers.
    pub headers: Vec<(String, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
    /// What acknowledges it.
    pub receipt: Receipt,
}

/// The right, and the duty, to acknowledge one delivery.
///
/// Dropped without [`Receipt::ack`], the broker delivers it again when the connection ends.
pub struct Receipt(Box<dyn Acknowledge>);

impl Receipt {
    /// Wraps what knows how to acknowledge.
    pub fn new(acknowledge: impl Acknowledge) -> Self {
        Self(Box::new(acknowledge))
    }

    /// Whether it can still be acknowledged: its connection has not gone.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.0.is_usable()
    }

    /// Puts the delivery back into its queue, for whoever else may consume from it.
    pub async fn requeue(self) {
        self.0.requeue().await;
    }

    /// Acknowledges the delivery.
    ///
    /// Returns false where its connection has gone: then the broker delivers it again.
    pub async fn ack(self) -> bool {
        self.0.ack().await
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// How a broker acknowledges.
#[async_trait]
pub trait Acknowledge: Send + Sync + 'static {
    /// See [`Receipt::is_usable`].
    fn is_usable(&self) -> bool;

    /// See [`Receipt::ack`].
    async fn ack(&self) -> bool;

    /// See [`Receipt::requeue`].
    async fn requeue(&self);
}
