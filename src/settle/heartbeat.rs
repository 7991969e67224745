//! Heartbeats to AWS: the bridge's own while a task waits for a worker, and the worker's from its first sign of life
//! on.
//!
//! [`crate::inflight::heartbeat_schedule`] decides when a heartbeat is due and on whose behalf. This module sends it
//! and acts on the answer. With SWF, only the answer to a heartbeat carries a cancel request.

use super::{deliveries, notify, outcome, parse::PANICKED};
use crate::{
    broker::Announcement,
    context::Bridge,
    inflight::{DueTask, TaskHandle, heartbeat_schedule::Due},
    metrics::HeartbeatOutcome,
    source::{CancelRequested, SourceError, Verdict, rate_limit::Call},
    store::Note,
    task::{Outcome, OwnFailure, SettleEnd},
    util::{
        crash_point::{CrashPoint, crash_point},
        log_limiter::LogTopic,
        supervise::catch_async,
    },
};
use std::{sync::Arc, time::SystemTime};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

/// Handles every in-flight task that is due, for the life of the process.
pub async fn run(bridge: Arc<Bridge>) {
    loop {
        bridge.inflight.wait_for_due().await;
        bridge.ownership.wait().await;
        crash_point(CrashPoint::HeartbeatLoop);
        let now = Instant::now();
        // The number of spawned tasks is bounded: one for each task in flight.
        while let Some(entry) = bridge.inflight.next_due(now) {
            let handling = handle_due(Arc::clone(&bridge), entry);
            bridge.supervisor.spawn("a heartbeat", handling);
        }
    }
}

/// Does for a task what it is due for, unless that has changed meanwhile.
pub async fn handle_due(bridge: Arc<Bridge>, entry: DueTask) {
    match entry.due {
        Due::Beat => beat(&bridge, entry).await,
        Due::Unstarted(wait) => {
            let (id, route) = (entry.handle.id, entry.handle.route.name());
            if let Some(handle) = bridge.inflight.give_up_unstarted(id) {
                let reason = format!("no worker started it within {} s", wait.as_secs());
                warn!(route, task = %id, "{reason}; failing it back to AWS");
                outcome::settle(
                    bridge,
                    handle,
                    Outcome::failed(OwnFailure::NotStarted, reason),
                )
                .await;
            }
        }
    }
}

/// Sends one heartbeat, and acts on its answer.
async fn beat(bridge: &Arc<Bridge>, entry: DueTask) {
    let handle = entry.handle;
    let (id, route) = (handle.id, &handle.route);
    let call = Call::Heartbeat(entry.urgency);
    let permit = route.source.rate_limiter().acquire(call).await;
    let sent = Instant::now();
    let Some(details) = bridge.inflight.begin_beat(id, sent) else {
        return;
    };
    // A worker wrote the details. If sending them panics, they are dropped as details that AWS rejects.
    let sending = catch_async(route.source.heartbeat(&handle.token, &details));
    let panicked = |_| Err(SourceError::Invalid(PANICKED.to_owned()));
    let late = |_| Err(SourceError::Unavailable("no answer in time".to_owned()));
    let answer = timeout(entry.answer_timeout, sending).await;
    let answer = answer.map_or_else(late, |sent| sent.unwrap_or_else(panicked));
    // The next steps may wait for the broker or the store. No other call to AWS may wait for them.
    permit.done((&answer).into());
    match answer {
        Ok(CancelRequested(cancel)) => {
            route.metrics.heartbeat(HeartbeatOutcome::Accepted);
            bridge.store.note(id, Note::Heard(SystemTime::now()));
            if bridge.inflight.beat_accepted(id, sent, cancel) {
                bridge.store.note(id, Note::CancelRequested);
                debug!(route = route.name(), task = %id, "AWS asks for a cancel");
                if !deliveries::end_canceled(bridge, id).await {
                    notify::announce(bridge, id, Announcement::CancelRequested).await;
                }
            }
        }
        Err(error) => {
            route.metrics.heartbeat(error.fault().into());
            let verdict = error.verdict();
            match verdict {
                Verdict::Gone => gone(bridge, &handle).await,
                Verdict::Retry | Verdict::RetrySlowly | Verdict::Reject => {
                    say_failed(&handle, &error);
                    let rejected = verdict == Verdict::Reject;
                    bridge.inflight.beat_failed(id, rejected);
                }
            }
        }
    }
}

/// Logs a failed heartbeat. While AWS is unavailable, a warning for each heartbeat would hide all other lines. So each
/// route writes one from time to time.
fn say_failed(handle: &TaskHandle, error: &SourceError) {
    let (route, task) = (handle.route.name(), handle.id);
    let throttled = matches!(error, SourceError::Throttled(_));
    if !throttled && handle.route.log_limiter.allows(LogTopic::Heartbeats) {
        warn!(route, %task, %error, "a heartbeat failed; it is tried again");
    } else {
        debug!(route, %task, %error, "a heartbeat failed; it is tried again");
    }
}

async fn gone(bridge: &Arc<Bridge>, handle: &TaskHandle) {
    let Some(entry) = bridge.inflight.on_gone(handle.id) else {
        return;
    };
    debug!(route = handle.route.name(), task = %handle.id, "the task is gone; telling the worker");
    tokio::join!(
        outcome::clean_up(bridge, handle.id, entry, SettleEnd::Gone),
        notify::announce(bridge, handle.id, Announcement::Gone),
    );
}
