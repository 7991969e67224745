//! Warnings at the start, about settings that are allowed and seldom right.

use crate::{
    config::Config,
    phase::POLL_HOLD,
    process::{descriptors, flush_reserve},
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

/// Warns of [`descriptors::few`].
pub(super) fn warn_of_few_descriptors(config: &Config, limit: Option<u64>) {
    if let Some(words) = descriptors::few(&config.broker, &config.routes, limit) {
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
