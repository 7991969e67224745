//! Warnings at the start, about settings that are allowed and seldom right.

use crate::{
    broker::BrokerConfig, config::Config, phase::POLL_HOLD, process::flush_reserve,
    route::RouteConfig,
};
use std::time::Duration;
use tracing::warn;

/// A route whose heartbeat timeout is not known.
pub(super) fn warn_of_an_unknown_timeout(route: &RouteConfig) {
    if let Some(interval) = route.supposed_interval() {
        let (route, secs) = (&route.name, interval.as_secs());
        warn!(
            route,
            "heartbeat.timeout_secs is not set: a task that waits is kept alive every {secs} s, and times out if its heartbeat timeout is shorter"
        );
    }
}

/// Number of descriptors for all that is not counted one by one: heartbeats and outcomes at work, the store, the admin
/// endpoint.
const OTHER_DESCRIPTORS: u64 = 1_000;

/// Number of sockets of workers beyond the connections that are in use: those that close.
const CLOSING_SOCKETS: u64 = 128;

/// Fewer descriptors than may be needed, in words.
pub(crate) fn few_descriptors(config: &Config, limit: Option<u64>) -> Option<String> {
    let workers = match &config.broker {
        BrokerConfig::Endpoint(endpoint) => endpoint.max_connections as u64 + CLOSING_SOCKETS,
        BrokerConfig::RabbitMq(_) => 0,
    };
    let polls = config.routes.iter().map(|route| route.pollers.max as u64);
    let polls: u64 = polls.sum();
    let needs = workers + polls + OTHER_DESCRIPTORS;
    let limit = limit.filter(|limit| *limit < needs)?;
    Some(format!(
        "the limit on open files is {limit}, and {needs} may be needed: {workers} for workers (amqp.max_connections), {polls} for polls (pollers.max), {OTHER_DESCRIPTORS} for the rest; raise it (ulimit -n, LimitNOFILE)"
    ))
}

/// Warns of [`few_descriptors`].
pub(super) fn warn_of_few_descriptors(config: &Config, limit: Option<u64>) {
    if let Some(words) = few_descriptors(config, limit) {
        warn!("{words}");
    }
}

/// A grace period that ends before AWS has answered the open polls.
pub(super) fn warn_of_a_short_grace(grace: Duration) {
    if grace - flush_reserve(grace) <= POLL_HOLD {
        let secs = grace.as_secs();
        warn!(
            "shutdown.grace_secs = {secs} leaves no time for the polls that AWS holds for 60 s: a shutdown may fail or lose a task; 75 is enough"
        );
    }
}
