//! What the bridge needs from a broker: the trait [`Broker`].
//!
//! No type, name or quirk of an implementation crosses this seam. An implementation owns its connections and opens them
//! again. [`Broker::link`] says whether the broker can be used. Everything that comes back arrives in one stream of
//! [`Inbound`].

use super::{
    destination::Destination,
    error::{ParkError, PublishError, ReadinessError},
    inbound::{Delivery, Inbound},
    link::Link,
    message::{Announcement, ParkedMessage, TaskMessage},
    parked::ParkedReading,
    task_queue::TaskQueue,
    worker_limits::WorkerLimits,
};
use crate::task::{Status, TaskId};
use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

/// Everything that comes back from the broker, from all its connections. Bounded.
pub type InboundStream = mpsc::Receiver<Inbound>;

/// Carries tasks to workers, and replies from them.
///
/// Every call may be repeated. Every call has a timeout, which the implementation sets. [`Broker::publish`],
/// [`Broker::park`], [`Broker::announce`] and [`Broker::answer`] also wait while the broker takes no messages ([`Link::Blocked`]).
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Publishes a task's message, and waits until the broker has confirmed it.
    ///
    /// # Errors
    ///
    /// The broker does not have the message, or it is not known whether the broker has it. Another attempt may succeed
    /// after each error.
    async fn publish(&self, message: &TaskMessage<'_>) -> Result<(), PublishError>;

    /// Says that a task has an outcome, has ended, or was given to a worker by an earlier process. The broker takes the task's
    /// message back if no worker has it, and delivers it no more. A broker that can't do this does nothing.
    async fn withdraw(&self, task: TaskId);

    /// Says that another process has taken a task over. The task's message reaches no worker from here. What the worker does
    /// that has it already still counts, for the new owner.
    async fn taken_over(&self, task: TaskId) {
        self.withdraw(task).await;
    }

    /// Keeps a message that can't be used, with the reason. It waits until the message outlives the process, if the broker
    /// can do that.
    ///
    /// # Errors
    ///
    /// The message is not kept, or it is not known whether it is kept.
    async fn park(&self, message: &ParkedMessage<'_>, because: &str) -> Result<(), ParkError>;

    /// Why messages can't be parked at present; `None` if nothing is known to be wrong.
    fn parking_problem(&self) -> Option<String> {
        None
    }

    /// Begins to read the parked messages for a person, `most` of them at most.
    ///
    /// # Errors
    ///
    /// Why they can't be read, in words for that person.
    async fn read_parked(&self, most: u16) -> Result<ParkedReading, String>;

    /// Puts a copy of a reply at the end of the queue of replies, so that others come before it. A broker that has no such queue
    /// refuses.
    ///
    /// # Errors
    ///
    /// The queue does not have the copy, or it is not known whether it has.
    async fn put_back(&self, _reply: &ParkedMessage<'_>) -> Result<(), PublishError> {
        Err(PublishError::Nacked("(there is no queue of replies)"))
    }

    /// Tells the worker of a task to stop, with the reason.
    ///
    /// # Errors
    ///
    /// The announcement could not be published.
    async fn announce(&self, task: TaskId, what: Announcement) -> Result<(), PublishError>;

    /// Answers a worker's sign of life, if the sign of life says where the answer must go.
    ///
    /// # Errors
    ///
    /// The answer could not be published.
    async fn answer(&self, sign: &Delivery, status: Status) -> Result<(), PublishError>;

    /// The address of replies. It stays the same for the life of the process.
    fn reply_to(&self) -> &str;

    /// Says whether the destination can take tasks now.
    ///
    /// # Errors
    ///
    /// The destination can't take tasks, or the broker could not be asked.
    async fn readiness(&self, destination: &Destination) -> Result<Readiness, ReadinessError>;

    /// Waits until the readiness of a destination may have changed. If the broker can't tell, this waits for ever, and
    /// the caller must ask for the readiness at intervals.
    ///
    /// The wait begins when the future is polled for the first time. From then on it sees each change, also where others
    /// wait for the same destination.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    async fn readiness_changed(&self, destination: &Destination);

    /// Says whether the broker can be used. The receiver sees each change.
    fn link(&self) -> watch::Receiver<Link>;

    /// Says whether the broker keeps the messages that it has confirmed.
    fn durability(&self) -> Durability;

    /// The number of workers' connections. None where the workers connect to another process.
    fn connections(&self) -> Option<usize> {
        None
    }

    /// The number of tasks of a destination that workers have. None where the broker can't tell.
    fn unacknowledged(&self, _destination: &Destination) -> Option<usize> {
        None
    }

    /// Gives no more tasks to workers, and waits until what they have acknowledged has been told. That may take long: the
    /// caller bounds it. What workers send later still counts. A broker that can't do this does nothing.
    async fn stop_deliveries(&self) {}

    /// Says which queues the routes have from here on. Tasks that are there keep the terms with which they came. A queue that is left out
    /// has no task any more, and its consumers end. A broker whose queues are its own does nothing.
    fn set_queues(&self, _queues: Vec<TaskQueue>) {}

    /// Says that no route has this queue, or this exchange, any more. What the client keeps for it ends. If another task goes there, it is
    /// made again.
    async fn leave(&self, _destination: &Destination) {}

    /// Changes the bounds on what workers do. What is open stays open. A broker that others bound does nothing.
    fn set_limits(&self, _limits: WorkerLimits) {}

    /// Says how many tasks are in flight, adopted ones included. The broker goes on to hand over replies while so many wait
    /// for AWS. A broker that bounds replies otherwise does nothing.
    fn expect_replies(&self, _tasks_in_flight: usize) {}

    /// Closes all connections with their closing handshakes. `expects_replies`: replies may still come for the next
    /// process or for another one.
    async fn close(&self, expects_replies: bool);
}

/// Whether a broker keeps a message that it has confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The broker keeps it across its own restarts and the bridge's. Its volume or a queue may be lost, so the store keeps its copy until a worker has
    /// begun.
    Durable,
    /// The message is lost with the process. The store keeps the message until the task has begun for good or has
    /// ended. Such a broker sees each delivery and tells of it: [`Inbound::Delivered`] and what follows it.
    Process,
}

/// The state of a destination. All numbers are zero if the route names no queue to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Messages that wait for a consumer.
    pub ready: u64,
    /// The number of consumers.
    pub consumers: u64,
    /// How many more messages the consumers take at once; `None` if the broker can't tell.
    pub credit: Option<u64>,
    /// How many messages the consumers took in the last second and were done with within a second: 0 while tasks are slow.
    /// As many may wait in the queue where `max_ready` is "auto". Always 0 where the broker can't tell credit.
    pub taken_last_second: u64,
}
