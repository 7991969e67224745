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

/// The header that says when a message was parked, in seconds since 1970.
pub const PARKED_AT: &str = "parked-at";

/// The header that says what was parked. Only [`PARKED_REPLY`] may be replayed.
pub const PARKED_AS: &str = "parked-as";

/// The value of [`PARKED_AS`] for a worker's reply.
pub const PARKED_REPLY: &str = "reply";

/// The header with the name of the task's route, if the task was in flight.
pub const PARKED_ROUTE: &str = "parked-route";

/// The header with the queues whose tasks the publisher of a reply might settle, as a JSON list, unless it was all.
pub const PARKED_QUEUES: &str = "parked-queues";

/// Whether the bridge itself gives this header to what it parks. A worker's header of this name is left out.
#[must_use]
pub fn is_of_parked(header: &str) -> bool {
    let own = [
        PARKED_BECAUSE,
        PARKED_AT,
        PARKED_AS,
        PARKED_ROUTE,
        PARKED_QUEUES,
    ];
    own.contains(&header)
}

/// The `app_id` of every message that the bridge publishes.
pub const APP_ID: &str = "activity-bridge";
