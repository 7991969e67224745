//! Opens the configured broker, and checks it for `activity-bridge check --online`. Here is decided how long a reply
//! queue is kept.

use super::{
    contract::{Broker, InboundStream},
    destination::Destination,
    names::REPLIES_EXCHANGE,
    rabbitmq::{self, Options, RabbitMq, Uri},
};
use crate::{
    task::TaskId,
    util::{Row, supervise::Supervisor},
};
use std::{sync::Arc, time::Duration};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Time for which a process's reply queue is kept without a consumer. After a day the process will not come back.
const PROCESS_REPLIES_TTL: Duration = DAY;
/// Time for which a store's reply queue is kept without a consumer: longer than a long weekend.
const STORE_REPLIES_TTL: Duration = DAY.saturating_mul(7);
/// Maximum number of unacknowledged deliveries beyond one for each slot: heartbeats, and replies to park.
const PREFETCH_MARGIN: usize = 100;

/// What a broker must know of the bridge.
pub struct BrokerOptions {
    /// How long replies to this process's tasks can be used.
    pub replies: ReplyLifetime,
    /// Maximum number of tasks in flight, all routes together.
    pub max_in_flight: usize,
    /// Supervises the loop that connects.
    pub supervisor: Supervisor,
}

/// How long replies can be used: as long as the records of their tasks live.
pub enum ReplyLifetime {
    /// As long as the process.
    Process,
    /// As long as the store with this id.
    Store(String),
}

/// Starts the broker, which connects in the background. It uses the first of `uris` that answers.
#[must_use]
pub fn open(uris: &[Uri], options: BrokerOptions) -> (Arc<dyn Broker>, InboundStream) {
    let (id, replies_expire) = match options.replies {
        ReplyLifetime::Process => (TaskId::random().to_string(), PROCESS_REPLIES_TTL),
        ReplyLifetime::Store(id) => (id, STORE_REPLIES_TTL),
    };
    let prefetch = options.max_in_flight + PREFETCH_MARGIN;
    let (broker, inbound) = RabbitMq::start(Options {
        uris: uris.to_vec(),
        reply_queue: format!("{REPLIES_EXCHANGE}.{id}"),
        replies_expire,
        prefetch: u16::try_from(prefetch).unwrap_or(u16::MAX),
        supervisor: options.supervisor,
    });
    (Arc::new(broker), inbound)
}

/// Checks what works with the broker, and changes nothing there. One table for each URI.
pub async fn check(uri: &Uri, destinations: impl Iterator<Item = &Destination>) -> Vec<Row> {
    rabbitmq::check::check(uri, destinations).await
}
