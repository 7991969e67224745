//! Names that are part of the worker protocol.

/// The exchange to which the bridge publishes cancels, by task id. Topic, durable.
pub const CONTROL_EXCHANGE: &str = "activity-bridge.control";

/// The exchange through which locked-down workers may reply. Direct, durable. The names of reply queues begin with it.
pub const REPLIES_EXCHANGE: &str = "activity-bridge.replies";

/// The queue of replies that could not be used.
pub const PARKING_QUEUE: &str = "activity-bridge.parked";

/// The header that says why a reply was parked.
pub const PARKED_BECAUSE: &str = "parked-because";

/// The `app_id` of every message of ours.
pub const APP_ID: &str = "activity-bridge";
