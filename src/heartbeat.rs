//! Relaying a worker's signs of life to AWS, and what AWS answers to the worker.
//!
//! However often a worker beats, AWS hears the newest details at most once in a third of the heartbeat timeout. The
//! answer is the only way in which SWF ever asks for a cancel.

use crate::{
    backoff::jittered,
    bridge::Bridge,
    flights::Ticket,
    parking, settle,
    source::{CancelRequested, Verdict},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

/// The interval where the heartbeat timeout is not known.
const USUAL_INTERVAL: Duration = Duration::from_secs(5);
/// So many heartbeats fit into a timeout, so that one that is lost costs nothing.
const BEATS_PER_TIMEOUT: u32 = 3;

/// Relays until the worker has said nothing for an interval, or the task is over.
pub async fn relay(bridge: Arc<Bridge>, ticket: Ticket) {
    let timeout = ticket.route.config.heartbeat_timeout;
    let interval = timeout.map_or(USUAL_INTERVAL, |timeout| timeout / BEATS_PER_TIMEOUT);
    while let Some((details, ended)) = bridge.flights.next_beat(ticket.id) {
        let next = Instant::now() + jittered(interval);
        beat(&bridge, &ticket, &details).await;
        // The interval may be long, and a task that ends in it must not be remembered by its relay.
        tokio::select! {
            () = sleep_until(next) => {}
            _ = ended => return,
        }
    }
}

/// One heartbeat, and what follows from its answer.
async fn beat(bridge: &Arc<Bridge>, ticket: &Ticket, details: &str) {
    let (id, route) = (ticket.id, &ticket.route);
    let answer = route.source.heartbeat(&ticket.token, details).await;
    match answer {
        Ok(CancelRequested(cancel)) => {
            route.metrics.heartbeat("accepted");
            if cancel && bridge.flights.on_cancel_requested(id) {
                debug!(route = route.name(), task = %id, "AWS asks for a cancel");
                let announced =
                    parking::announce_cancel(Arc::clone(bridge), id, "cancel-requested");
                tokio::spawn(announced);
            }
        }
        Err(error) => {
            route.metrics.heartbeat(error.kind());
            match error.verdict() {
                Verdict::Gone => gone(bridge, ticket).await,
                // The worker beats again, and the next attempt carries its newest details.
                Verdict::Retry | Verdict::RetrySlowly | Verdict::Reject => {
                    warn!(route = route.name(), task = %id, %error, "a heartbeat failed");
                }
            }
        }
    }
}

async fn gone(bridge: &Arc<Bridge>, ticket: &Ticket) {
    let Some(flight) = bridge.flights.on_gone(ticket.id) else {
        return;
    };
    debug!(route = ticket.route.name(), task = %ticket.id, "the task is gone; telling the worker");
    tokio::spawn(parking::announce_cancel(
        Arc::clone(bridge),
        ticket.id,
        "gone",
    ));
    settle::forget(bridge, ticket.id, flight, "gone").await;
}
