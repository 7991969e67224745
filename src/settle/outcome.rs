//! Settling: sends an outcome to AWS until AWS accepts it, says that the token is dead, or must have given up on the
//! task.
//!
//! Only then is the reply acknowledged, then the record removed, then the slot freed.

use super::{keep, park, parse::PANICKED};
use crate::{
    context::Bridge,
    inflight::{InflightTask, TaskHandle},
    source::{
        CancelRequested, SourceError, Verdict,
        rate_limit::{Call, Due},
    },
    task::{Outcome, OwnFailure, SettleEnd, TaskId},
    util::{
        Backoff, Label,
        crash_point::{CrashPoint, crash_point, crash_point_over},
        jittered,
        log_limiter::LogTopic,
        supervise::{catch, catch_async},
    },
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep};
use tracing::{debug, error, warn};

/// Wait after a throttled call, before the outcome asks for its next permit.
const THROTTLED_DELAY: Duration = Duration::from_millis(200);

/// Number of failed attempts after which a warning may be written.
const WARN_AFTER_ATTEMPTS: u32 = 3;

/// Settles a task and cleans up behind it.
pub async fn settle(bridge: Arc<Bridge>, mut handle: TaskHandle, outcome: Outcome) {
    let id = handle.id;
    let settling = handle.span.child("settle");
    let held = keep::hold(&bridge, id, &outcome);
    // No worker must get the task while its outcome is on its way.
    bridge.broker.withdraw(id).await;
    let submitting = submit_or_fail(&bridge, &mut handle, outcome);
    let (outcome, end) = keep::settle_or_keep(&bridge, id, held, submitting).await;
    settling.ended(end.label());
    // The outcome may have changed on the way: one that AWS does not accept becomes a failure.
    handle.route.metrics.settled(outcome.kind(), end);
    let kind = outcome.kind().label();
    handle.span.outcome(kind);
    debug!(route = handle.route.name(), task = %id, kind, end = end.label(), "settled");
    if let Some(entry) = bridge.inflight.on_settled(id) {
        clean_up(&bridge, id, entry, end).await;
    }
}

/// Sends an outcome to AWS. If that panics, the outcome is parked and the task is failed. Otherwise the broker would
/// deliver the reply to one process after another, and each would panic.
async fn submit_or_fail(
    bridge: &Bridge,
    handle: &mut TaskHandle,
    mut outcome: Outcome,
) -> (Outcome, SettleEnd) {
    let source = Arc::clone(&handle.route.source);
    if let Ok(fitted) = catch(|| source.fit(outcome.clone())) {
        outcome = fitted;
        let submitting = submit(bridge, handle, &mut outcome);
        if let Ok(end) = catch_async(submitting).await {
            return (outcome, end);
        }
    }
    error!(route = handle.route.name(), task = %handle.id, "bringing an outcome to AWS panicked; this is a bug of activity-bridge");
    park::park_outcome(bridge, handle.id, &outcome, PANICKED).await;
    let reason = format!("unusable reply: {PANICKED}");
    let mut failure = source.fit(Outcome::failed(OwnFailure::UnusableReply, reason));
    let end = submit(bridge, handle, &mut failure).await;
    (failure, end)
}

/// Acknowledges the held reply, removes the record, and frees the slot by dropping the in-flight task.
pub async fn clean_up(bridge: &Bridge, id: TaskId, mut entry: InflightTask, end: SettleEnd) {
    for receipt in std::mem::take(&mut entry.receipts) {
        crash_point(CrashPoint::BeforeAck);
        receipt.settled(end);
        if !receipt.ack().await {
            // The broker delivers it again. It then counts as a late reply.
            debug!(task = %id, "the reply could not be acknowledged: its connection has gone");
        }
        crash_point(CrashPoint::AfterAck);
    }
    // A task that AWS has closed was not settled, so its message may still wait for a worker.
    bridge.broker.withdraw(id).await;
    remove_record(bridge, id).await;
    entry.route.metrics.ended(end, entry.since.elapsed());
    entry.span.ended(end.label());
}

/// Removes a record. Tries again until that succeeds.
pub async fn remove_record(bridge: &Bridge, id: TaskId) {
    crash_point(CrashPoint::BeforeRemoval);
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
    while let Err(error) = bridge.store.remove(id).await {
        debug!(task = %id, %error, "could not remove the record; trying again");
        sleep(backoff.next_wait()).await;
    }
    crash_point(CrashPoint::AfterRemoval);
}

/// Repeats the call to AWS until there is an end.
async fn submit(bridge: &Bridge, handle: &mut TaskHandle, outcome: &mut Outcome) -> SettleEnd {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(15));
    // For the time in which AWS refuses the bridge, until a person repairs that.
    let mut slowly = Backoff::new(Duration::from_secs(2), Duration::from_secs(60));
    let mut replaced = false;
    loop {
        let result = attempt(handle, outcome).await;
        let Err(error) = result else {
            return SettleEnd::Accepted;
        };
        let (route, id) = (&handle.route, handle.id);
        let wait = match error.verdict() {
            Verdict::Gone => return SettleEnd::Gone,
            // A heartbeat has found that the token is dead, while this call fails for another reason.
            Verdict::Retry | Verdict::RetrySlowly if bridge.inflight.is_gone(id) => {
                return SettleEnd::Gone;
            }
            // From here on, the rate limiter paces this operation.
            Verdict::Retry if matches!(error, SourceError::Throttled(_)) => {
                jittered(THROTTLED_DELAY)
            }
            Verdict::Retry => {
                if backoff.attempts() >= WARN_AFTER_ATTEMPTS
                    && route.log_limiter.allows(LogTopic::Outcomes)
                {
                    warn!(route = route.name(), task = %id, %error, "an outcome is not settled yet; it is kept and tried again");
                }
                backoff.next_wait()
            }
            Verdict::RetrySlowly => {
                if slowly.attempts() == 0 {
                    warn!(route = route.name(), task = %id, %error, "AWS refuses the outcome; it is kept and tried again");
                }
                slowly.next_wait()
            }
            Verdict::Reject if replaced => {
                error!(route = route.name(), task = %id, %error, "AWS takes no outcome of this task; it will time out");
                return SettleEnd::Rejected;
            }
            Verdict::Reject => {
                let kind = outcome.kind().label();
                warn!(route = route.name(), task = %id, kind, %error, "AWS will never take this outcome; parking it and failing the task");
                park::park_outcome(bridge, id, outcome, &error.to_string()).await;
                let reason = format!("AWS refused it as {kind}: {error}");
                *outcome = route
                    .source
                    .fit(Outcome::failed(OwnFailure::OutcomeRefused, reason));
                replaced = true;
                continue;
            }
        };
        route.metrics.settle_retried(error.fault());
        let Some(wait) = before(handle.deadline, wait, SystemTime::now()) else {
            warn!(route = route.name(), task = %id, %error, "the deadline passed before AWS took the outcome; parking it");
            park::park_outcome(bridge, id, outcome, "the task's deadline passed").await;
            return SettleEnd::Expired;
        };
        debug!(route = route.name(), task = %id, %error, ?wait, "not settled; trying again");
        sleep(wait).await;
    }
}

/// How long to wait before the next attempt. `None` if the deadline has passed. The wait never ends after the deadline.
fn before(deadline: Option<SystemTime>, wait: Duration, now: SystemTime) -> Option<Duration> {
    let Some(at) = deadline else {
        return Some(wait);
    };
    let left = at.duration_since(now).unwrap_or_default();
    (!left.is_zero()).then(|| wait.min(left))
}

/// Makes one attempt. A cancel that AWS did not request becomes a failure, because AWS would refuse it.
async fn attempt(handle: &mut TaskHandle, outcome: &mut Outcome) -> Result<(), SourceError> {
    if let Outcome::Canceled { details } = outcome
        && !handle.cancel_requested
    {
        let CancelRequested(wanted) = is_wanted(handle).await?;
        handle.cancel_requested = wanted;
        if !wanted {
            *outcome = Outcome::Failed {
                own: None,
                reason: "the worker canceled the task, though its cancellation was not requested"
                    .to_owned(),
                details: std::mem::take(details),
            };
        }
    }
    let source = &handle.route.source;
    let rate_limiter = source.rate_limiter();
    let deadline = handle.deadline.and_then(instant);
    let permit = rate_limiter.acquire_by(call(outcome), deadline).await;
    crash_point_over(CrashPoint::BeforeAws, outcome.text().as_bytes());
    let answer = source.settle(&handle.token, outcome).await;
    crash_point(CrashPoint::AfterAws);
    permit.done((&answer).into());
    answer
}

/// A point in time on the clock of timers; `None` if it is too far away.
fn instant(at: SystemTime) -> Option<Instant> {
    let left = at.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now().checked_add(left)
}

fn call(outcome: &Outcome) -> Call {
    match outcome {
        Outcome::Completed { .. } => Call::Complete,
        Outcome::Failed { .. } => Call::Fail,
        Outcome::Canceled { .. } => Call::Cancel,
    }
}

/// Asks AWS whether a cancel is requested. Only the answer to a heartbeat tells that.
async fn is_wanted(handle: &TaskHandle) -> Result<CancelRequested, SourceError> {
    let source = &handle.route.source;
    // An outcome waits for this call, and outcomes have priority.
    let now = Instant::now();
    let due = Due {
        deadline: Some(now),
        urgent_from: now,
    };
    let permit = source.rate_limiter().acquire(Call::Heartbeat(due)).await;
    let answer = source.heartbeat(&handle.token, "").await;
    permit.done((&answer).into());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_tried_until_its_deadline_and_not_beyond() {
        let secs = Duration::from_secs;
        let now = SystemTime::UNIX_EPOCH + secs(1_000);
        for (deadline, wait, expected) in [
            (None, secs(15), Some(secs(15))),
            (Some(now + secs(60)), secs(15), Some(secs(15))),
            (Some(now + secs(10)), secs(15), Some(secs(10))),
            (Some(now), secs(15), None),
            (Some(now - secs(1)), secs(15), None),
        ] {
            assert_eq!(before(deadline, wait, now), expected, "{deadline:?}");
        }
    }
}
