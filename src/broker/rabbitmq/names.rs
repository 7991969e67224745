//! Names of RabbitMQ's topology that are not part of the worker protocol.

/// The exchange for dead letters of the routes' queues. Headers, durable: the header [`REPLY_QUEUE`] routes each dead
/// letter to the process that has its task.
pub(super) const DEAD_LETTERS_EXCHANGE: &str = "activity-bridge.dead-letters";

/// The exchange for dead letters that match no reply queue. It leads to the parking queue. Fanout, durable.
pub(super) const UNCLAIMED_EXCHANGE: &str = "activity-bridge.unclaimed";

/// The header of a task's message that names the process's reply queue. Its value is the same as `reply_to`.
pub(super) const REPLY_QUEUE: &str = "reply-queue";

/// A delivery limit that stands for none. Without a declared limit, RabbitMQ 4 drops a message after 20 deliveries.
pub(super) const NO_DELIVERY_LIMIT: u64 = 1_000_000_000;
