//! Names of RabbitMQ's topology that workers need not know.

/// The exchange through which messages come back that a queue could not hand to a worker. Headers, durable: the header
/// [`REPLY_QUEUE`] brings each message to the process that has its task.
pub(super) const DEAD_LETTERS_EXCHANGE: &str = "activity-bridge.dead-letters";

/// Where dead letters go that no process claims: to the parking queue. Fanout, durable.
pub(super) const UNCLAIMED_EXCHANGE: &str = "activity-bridge.unclaimed";

/// The header of a task's message that says whose it is: the same as its `reply_to`.
pub(super) const REPLY_QUEUE: &str = "reply-queue";

/// RabbitMQ 4 takes a limit of 20 deliveries where none is declared, and drops the message then. This is as good as none.
pub(super) const NO_DELIVERY_LIMIT: u64 = 1_000_000_000;
