//! Heartbeats to AWS: the bridge's own for tasks that wait, the workers' from their first sign of life on.
//!
//! [`crate::schedule`] decides when and on whose behalf. The answer is the only way in which SWF ever asks for a cancel.

use super::{notify, outcome};
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
    },
};
use std::{sync::Arc, time::SystemTime};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::{debug, warn};

/// So many heartbeats may wait for AWS's answer at once, each on a connection of its own. Only when very many tasks are taken
/// on together, or when AWS is slow, do others wait for them.
static MAX_CONCURRENT_HEARTBEATS: Semaphore = Semaphore::const_new(500);

/// Sees to every flight that is due, for as long as the process lives.
pub async fn run(bridge: Arc<Bridge>) {
    loop {
        bridge.inflight.wait_for_due().await;
        bridge.ownership.wait().await;
        crash_point(CrashPoint::HeartbeatLoop);
        let now = Instant::now();
        // What is spawned is bounded: one for each task in flight.
        while let Some(entry) = bridge.inflight.next_due(now) {
            let seeing_to = see_to(Arc::clone(&bridge), entry);
            bridge.supervisor.spawn("a heartbeat", seeing_to);
        }
    }
}

async fn see_to(bridge: Arc<Bridge>, entry: DueTask) {
    match entry.due {
        Due::Beat => beat(&bridge, entry).await,
        Due::Unstarted(wait) => {
            let (id, route) = (entry.handle.id, entry.handle.route.name());
            if let Some(handle) = bridge.inflight.give_up(id) {
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

/// One heartbeat, and what follows from its answer.
async fn beat(bridge: &Arc<Bridge>, entry: DueTask) {
    let handle = entry.handle;
    let (id, route) = (handle.id, &handle.route);
    let call = Call::Heartbeat(entry.urgency);
    let permit = route.source.rate_limiter().acquire(call).await;
    let one = MAX_CONCURRENT_HEARTBEATS.acquire().await;
    let sent = Instant::now();
    let Some(details) = bridge.inflight.begin_beat(id, sent) else {
        return;
    };
    let answer = timeout(
        entry.patience,
        route.source.heartbeat(&handle.token, &details),
    );
    let late = |_| Err(SourceError::Unavailable("no answer in time".to_owned()));
    let answer = answer.await.unwrap_or_else(late);
    permit.done((&answer).into());
    // What follows may wait for the broker or the store; no heartbeat waits for that.
    drop(one);
    match answer {
        Ok(CancelRequested(cancel)) => {
            route.metrics.heartbeat(HeartbeatOutcome::Accepted);
            bridge.store.note(id, Note::Heard(SystemTime::now()));
            if bridge.inflight.beat_accepted(id, sent, cancel) {
                bridge.store.note(id, Note::CancelRequested);
                debug!(route = route.name(), task = %id, "AWS asks for a cancel");
                notify::announce(bridge, id, Announcement::CancelRequested).await;
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

/// A line for each heartbeat would bury all others while AWS is away: one for each route, now and then.
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
