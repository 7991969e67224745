//! Names that are part of the worker protocol.

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
