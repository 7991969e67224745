//! Opens the broker that is configured.

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
/// How long a process's reply queue is kept without a consumer. After a day the process will not come back.
const PROCESS_REPLIES_TTL: Duration = DAY;
/// How long a store's reply queue is kept without a consumer: over a long weekend.
const STORE_REPLIES_TTL: Duration = DAY.saturating_mul(7);
/// Deliveries that may wait for their acknowledgement beyond the tasks in flight: heartbeats, and replies to park.
const PREFETCH_MARGIN: usize = 100;

/// What the bridge needs of its broker.
pub struct BrokerOptions {
    /// How long replies to this process's tasks are of use.
    pub replies: ReplyLifetime,
    /// How many tasks may be in flight.
    pub max_in_flight: usize,
    /// What supervises the loop that connects.
    pub supervisor: Supervisor,
}

/// How long replies are of use: as long as the records of their tasks.
pub enum ReplyLifetime {
    /// As long as the process.
    Process,
    /// Beyond it, under this id.
    Store(String),
}

/// Starts the broker, which connects in the background. The first of `uris` that answers is used.
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

/// Looks at what of the broker works, without changing anything there. One table for each URI.
pub async fn check(uri: &Uri, destinations: impl Iterator<Item = &Destination>) -> Vec<Row> {
    rabbitmq::check::check(uri, destinations).await
}
