//! Names that are part of the worker protocol. The other names of RabbitMQ's topology are in `rabbitmq/`.

/// The exchange for cancels; the routing key is the task id. Topic, durable.
pub const CONTROL_EXCHANGE: &str = "activity-bridge.control";

/// The exchange for replies of workers with restricted permissions. Direct, durable. The names of reply queues begin
/// with it.
pub const REPLIES_EXCHANGE: &str = "activity-bridge.replies";

/// The parking queue: replies that can't be used.
pub const PARKING_QUEUE: &str = "activity-bridge.parked";

/// The header that says why a reply was parked.
pub const PARKED_BECAUSE: &str = "parked-because";

/// The `app_id` of every message that the bridge publishes.
pub const APP_ID: &str = "activity-bridge";
