//! Heartbeats to AWS: the bridge's own for tasks that wait, the workers' from their first sign of life on.
//!
//! [`crate::pulse`] decides when and on whose behalf. The answer is the only way in which SWF ever asks for a cancel.

use super::{notify, outcome};
use crate::{
    context::Bridge,
    inflight::{DueFlight, Ticket, heartbeat_schedule::Due},
    source::{CancelRequested, SourceError, Verdict, rate_limit::Call},
    store::Note,
    task::{Outcome, OwnFailure},
    util::log_limiter::Complaint,
};
use std::{sync::Arc, time::SystemTime};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::{debug, warn};

/// So many heartbeats may wait for AWS's answer at once, each on a connection of its own. Only when very many tasks are taken
/// on together, or when AWS is slow, do others wait for them.
static AT_ONCE: Semaphore = Semaphore::const_new(500);

/// Sees to every flight that is due, for as long as the process lives.
pub async fn run(bridge: Arc<Bridge>) {
    loop {
        bridge.flights.wait_for_due().await;
        bridge.certainty.wait().await;
        let now = Instant::now();
        // What is spawned is bounded: one for each task in flight.
        while let Some(flight) = bridge.flights.next_due(now) {
            tokio::spawn(see_to(Arc::clone(&bridge), flight));
        }
    }
}

async fn see_to(bridge: Arc<Bridge>, flight: DueFlight) {
    match flight.due {
        Due::Beat => beat(&bridge, flight).await,
        Due::Unstarted(wait) => {
            let (id, route) = (flight.ticket.id, flight.ticket.route.name());
            if let Some(ticket) = bridge.flights.give_up(id) {
                let reason = format!("no worker started it within {} s", wait.as_secs());
                warn!(route, task = %id, "{reason}; failing it back to AWS");
                outcome::settle(
                    bridge,
                    ticket,
                    Outcome::failed(OwnFailure::NotStarted, reason),
                )
                .await;
            }
        }
    }
}

/// One heartbeat, and what follows from its answer.
async fn beat(bridge: &Arc<Bridge>, flight: DueFlight) {
    let ticket = flight.ticket;
    let (id, route) = (ticket.id, &ticket.route);
    let call = Call::Heartbeat(flight.urgency);
    let turn = route.source.budget().turn(call).await;
    let one = AT_ONCE.acquire().await;
    let sent = Instant::now();
    let Some(details) = bridge.flights.begin_beat(id, sent) else {
        return;
    };
    let answer = timeout(
        flight.patience,
        route.source.heartbeat(&ticket.token, &details),
    );
    let late = |_| Err(SourceError::Unavailable("no answer in time".to_owned()));
    let answer = answer.await.unwrap_or_else(late);
    turn.done((&answer).into());
    // What follows may wait for the broker or the store; no heartbeat waits for that.
    drop(one);
    match answer {
        Ok(CancelRequested(cancel)) => {
            route.metrics.heartbeat("accepted");
            bridge.store.note(id, Note::Heard(SystemTime::now()));
            if bridge.flights.beat_accepted(id, sent, cancel) {
                bridge.store.note(id, Note::CancelRequested);
                debug!(route = route.name(), task = %id, "AWS asks for a cancel");
                notify::announce_cancel(bridge, id, "cancel-requested").await;
            }
        }
        Err(error) => {
            route.metrics.heartbeat(error.kind());
            let verdict = error.verdict();
            match verdict {
                Verdict::Gone => gone(bridge, &ticket).await,
                Verdict::Retry | Verdict::RetrySlowly | Verdict::Reject => {
                    say_failed(&ticket, &error);
                    let rejected = verdict == Verdict::Reject;
                    bridge.flights.beat_failed(id, rejected);
                }
            }
        }
    }
}

/// A line for each heartbeat would bury all others while AWS is away: one for each route, now and then.
fn say_failed(ticket: &Ticket, error: &SourceError) {
    let (route, task) = (ticket.route.name(), ticket.id);
    let throttled = matches!(error, SourceError::Throttled(_));
    if !throttled && ticket.route.may_complain(Complaint::Heartbeats) {
        warn!(route, %task, %error, "a heartbeat failed; it is tried again");
    } else {
        debug!(route, %task, %error, "a heartbeat failed; it is tried again");
    }
}

async fn gone(bridge: &Arc<Bridge>, ticket: &Ticket) {
    let Some(flight) = bridge.flights.on_gone(ticket.id) else {
        return;
    };
    debug!(route = ticket.route.name(), task = %ticket.id, "the task is gone; telling the worker");
    tokio::join!(
        outcome::forget(bridge, ticket.id, flight, "gone"),
        notify::announce_cancel(bridge, ticket.id, "gone"),
    );
}
