//! The labels that are the metrics' own. The others are in `task/`.

use crate::{task::OutcomeKind, util::labels};

labels! {
    /// Why a call to AWS failed.
    pub enum Fault {
        /// AWS throttles the rate of calls, or limits something else.
        Throttled = "throttled",
        /// AWS could not be reached, did not answer in time, or had an internal fault.
        Unavailable = "unavailable",
        /// AWS refuses the call. A person must fix the cause.
        Refused = "refused",
        /// The request is not valid.
        Invalid = "invalid",
        /// The token is dead.
        Gone = "gone",
    }
}

labels! {
    /// The result of a poll.
    pub enum PollOutcome {
        /// AWS answered without a task.
        Empty = "empty",
        /// AWS answered with a task.
        Task = "task",
        /// [`Fault::Throttled`].
        Throttled = "throttled",
        /// [`Fault::Unavailable`].
        Unavailable = "unavailable",
        /// [`Fault::Refused`].
        Refused = "refused",
        /// [`Fault::Invalid`].
        Invalid = "invalid",
        /// [`Fault::Gone`].
        Gone = "gone",
    }
}

impl From<Fault> for PollOutcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Throttled => Self::Throttled,
            Fault::Unavailable => Self::Unavailable,
            Fault::Refused => Self::Refused,
            Fault::Invalid => Self::Invalid,
            Fault::Gone => Self::Gone,
        }
    }
}

labels! {
    /// What became of a delivery, where the bridge is the broker.
    pub enum DeliveryEvent {
        /// A worker got the task.
        Delivered = "delivered",
        /// The task waits for a worker again.
        CameBack = "came-back",
        /// A worker acknowledged the task, which completes it.
        Acknowledged = "acknowledged",
        /// A worker acknowledged the task, which settles nothing.
        Released = "released",
    }
}

labels! {
    /// The result of an attempt to publish a task's message.
    pub enum PublishOutcome {
        /// The broker confirmed the message.
        Confirmed = "confirmed",
        /// There was no connection to the broker.
        Away = "away",
        /// No queue takes the message.
        Unroutable = "unroutable",
        /// The queue is full, or can't be written.
        Nacked = "nacked",
        /// The broker refused the message.
        Refused = "refused",
        /// No confirm came.
        Unconfirmed = "unconfirmed",
    }
}

labels! {
    /// The kind of a reply.
    pub enum ReplyKind {
        /// [`OutcomeKind::Completed`].
        Completed = "completed",
        /// [`OutcomeKind::Failed`].
        Failed = "failed",
        /// [`OutcomeKind::Canceled`].
        Canceled = "canceled",
        /// The worker is alive.
        Alive = "alive",
        /// The reply can't be used.
        Unusable = "unusable",
    }
}

impl From<OutcomeKind> for ReplyKind {
    fn from(kind: OutcomeKind) -> Self {
        match kind {
            OutcomeKind::Completed => Self::Completed,
            OutcomeKind::Failed => Self::Failed,
            OutcomeKind::Canceled => Self::Canceled,
        }
    }
}

labels! {
    /// The result of a heartbeat.
    pub enum HeartbeatOutcome {
        /// AWS accepted the heartbeat.
        Accepted = "accepted",
        /// [`Fault::Throttled`].
        Throttled = "throttled",
        /// [`Fault::Unavailable`].
        Unavailable = "unavailable",
        /// [`Fault::Refused`].
        Refused = "refused",
        /// [`Fault::Invalid`].
        Invalid = "invalid",
        /// [`Fault::Gone`].
        Gone = "gone",
    }
}

impl From<Fault> for HeartbeatOutcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Throttled => Self::Throttled,
            Fault::Unavailable => Self::Unavailable,
            Fault::Refused => Self::Refused,
            Fault::Invalid => Self::Invalid,
            Fault::Gone => Self::Gone,
        }
    }
}

labels! {
    /// A leg of a task's way.
    pub enum Leg {
        /// From the poll to the broker's confirm.
        Publish = "publish",
        /// From the confirm to the worker's start: the delivery, where the bridge is the broker, else the first sign of life.
        Wait = "wait",
        /// From the start to the final reply, or to the acknowledgement that completes the task.
        Work = "work",
        /// From the confirm to the final reply, where the worker did not say when it started.
        WaitAndWork = "wait-and-work",
        /// From the final reply, or the bridge's own failure, to the settlement.
        Settle = "settle",
    }
}

labels! {
    /// Why a route polls or does not.
    pub enum RouteReason {
        /// Nothing is against it.
        Polling = "polling",
        /// The process drains or shuts down.
        Draining = "draining",
        /// The queue has not been looked at yet.
        Starting = "starting",
        /// AWS refuses the route.
        Refused = "refused",
        /// The token store can't be reached or written.
        StoreAway = "store-away",
        /// The broker can't be reached.
        BrokerAway = "broker-away",
        /// The broker takes no messages.
        BrokerBlocked = "broker-blocked",
        /// The queue, or the exchange, can't be used.
        QueueUnusable = "queue-unusable",
        /// The parking queue can't be used.
        ParkingUnusable = "parking-unusable",
        /// The route is not configured any more. It ends with its last task.
        Leaving = "leaving",
        /// An operator has paused the route.
        Paused = "paused",
        /// Nobody consumes from the queue.
        NoConsumers = "no-consumers",
        /// No consumer has room.
        NoCredit = "no-credit",
        /// Too many messages wait in the queue.
        QueueFull = "queue-full",
        /// Tasks wait to be published again.
        Undelivered = "undelivered",
    }
}
