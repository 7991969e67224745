//! The words of the custody: what is told to it, and what it answers.

use crate::task::{Death, TaskId};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A worker's connection. A number is never used again.
pub(crate) type ConnectionId = u64;

/// A consumer of a queue. A number is never used again.
pub(crate) type ConsumerId = u64;

/// What a bare acknowledgement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckMode {
    /// It completes the task.
    Completes {
        /// Whether the configuration says so. A route for which it does not turns to [`AckMode::Releases`] once a worker
        /// is found that acknowledges before it has finished.
        written: bool,
    },
    /// It settles nothing.
    Releases,
}

/// The terms of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The name of the route.
    pub(crate) route: Arc<str>,
    /// What a bare acknowledgement does.
    pub(crate) ack: AckMode,
    /// How long a bare acknowledgement waits for a reply before it completes its task.
    pub(crate) ack_grace: Duration,
    /// Timeout for an acknowledgement. Everything that comes about the task starts it again.
    pub(crate) ack_timeout: Option<Duration>,
    /// Maximum number of failed deliveries. One more is a dead letter.
    pub(crate) delivery_limit: Option<u32>,
}

/// A task that enters the custody.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// The terms of the task's route.
    pub(crate) terms: Arc<Terms>,
    /// The number of failed deliveries in earlier processes.
    pub(crate) failed_deliveries: u32,
    /// Whether a worker may have had the task in an earlier process.
    pub(crate) redelivered: bool,
    /// The time at which the task becomes a dead letter if it still waits.
    pub(crate) expires: Option<Instant>,
}

/// What became of a task that entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// It waits in its queue.
    Waits,
    /// It has been here before. Nothing has changed.
    Known,
    /// It is past its delivery limit.
    DeadLetter(Death),
}

/// To whom a task is delivered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipient {
    /// The connection.
    pub(crate) connection: ConnectionId,
    /// The consumer. None with `basic.get`.
    pub(crate) consumer: Option<ConsumerId>,
    /// Whether the delivery needs no acknowledgement.
    pub(crate) no_ack: bool,
}

/// One delivery of a task. A channel keeps it beside the delivery tag. A delivery that is over stays harmless: an
/// acknowledgement and a return of it change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeliveryId {
    /// The task.
    pub(crate) task: TaskId,
    /// The number of the delivery. Later deliveries have higher numbers.
    pub(super) number: u64,
}

/// A delivery, and what the worker is told with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// The delivery.
    pub(crate) id: DeliveryId,
    /// Whether a worker may have had the task before.
    pub(crate) redelivered: bool,
    /// The number of failed deliveries before this one, as quorum queues give it in `x-delivery-count`.
    pub(crate) count: u32,
    /// Whether the task is released already, because the delivery needs no acknowledgement.
    pub(crate) released: bool,
}

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acked {
    /// Nothing: the delivery is over.
    Nothing,
    /// The task is released.
    Released(ReleaseCause),
    /// The task is completed at the end of its grace, unless something comes about it.
    Grace,
}

/// Why an acknowledgement released a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReleaseCause {
    /// Acknowledgements of the route settle nothing.
    Mode,
    /// Something came about the task since it was delivered, but no final reply.
    Spoken,
    /// A reply with an unknown id came on the connection while the delivery was open.
    Distrust,
}

/// A task that was released by something else than its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Released {
    /// The task.
    pub(crate) task: TaskId,
    /// Whether the connection that it was delivered on has ended.
    pub(crate) abandoned: bool,
}

/// How a delivery returns without an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReturnCause {
    /// `basic.reject` or `basic.nack` without a requeue.
    Rejected,
    /// `basic.reject` or `basic.nack` with a requeue.
    Requeued,
    /// `basic.recover`.
    Recovered,
    /// The channel or the connection was lost.
    Lost,
    /// The client closed the channel or the connection in good order. Such a return is no failed delivery.
    Closed,
}

/// What a return means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    /// Nothing: the delivery is over.
    Nothing,
    /// The task waits again, in its old place.
    Waits {
        /// The number of failed deliveries.
        count: u32,
    },
    /// The task is a dead letter.
    DeadLetter(Death),
}

/// What came about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A sign of life.
    Sign,
    /// A final reply, usable or not.
    Final,
    /// A reply that is not final and can't be used.
    Parked,
}

/// What follows from what came about a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The proof that a worker acknowledges before it has finished.
    pub(crate) early_ack: Option<EarlyAck>,
    /// Tasks whose graces have ended with a release.
    pub(crate) released: Vec<Released>,
    /// Whether the task waited and leaves its queue.
    pub(crate) leaves_queue: bool,
}

/// The proof that a worker acknowledges before it has finished: it speaks about a task that its bare acknowledgement
/// has completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EarlyAck {
    /// The route of the task.
    pub(crate) route: Arc<str>,
    /// Whether acknowledgements settle nothing for the route from here on.
    pub(crate) releases: bool,
    /// Whether the route has now turned to [`AckMode::Releases`].
    pub(crate) turned: bool,
}

/// Something that has become due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The grace is over: the task is completed.
    Complete(TaskId),
    /// The delivery was not acknowledged in time. The task waits again.
    TakenBack {
        /// The task.
        task: TaskId,
        /// The number of failed deliveries.
        count: u32,
    },
    /// The task is a dead letter.
    DeadLetter(TaskId, Death),
    /// The task may now also be delivered to the consumer that returned it.
    AnyConsumer(TaskId),
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It waits in its queue.
    Waiting,
    /// A worker has it and has not acknowledged it.
    Out,
    /// A worker has acknowledged it. Its grace runs.
    Grace,
    /// A worker has acknowledged it, which settles nothing.
    Released,
    /// It waits for its end at AWS, after a final reply, a bare acknowledgement, a dead letter or a withdrawal.
    Over,
}

/// What the end of a task changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withdrawn {
    /// Nothing.
    Nothing,
    /// The task leaves its queue. No worker has it.
    FromQueue,
    /// A worker has it.
    FromWorker,
}
