//! The poll loop of one route: it takes a slot, polls, and spawns the publication of the task.
//!
//! The gate says whether to poll, the poll scaler says how many polls to hold open, the credit of the queue says how many
//! of them the workers can use, and the rate limiter says when a poll may begin.

use super::{
    gate::Gate,
    poll_scaler::{PollScaler, Polled},
    publish,
};
use crate::{
    context::Bridge,
    metrics::PollOutcome,
    phase::Phase,
    route::{PollCredit, Route, Slot, UnpersistedPermit},
    source::{SourceError, rate_limit::Call},
    util::{
        crash_point::{CrashPoint, crash_point},
        log_limiter::LogTopic,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tracing::{debug, error, info, warn};

/// The end of a poll: how it ended, when it began, and how long it took.
struct Answer {
    polled: Polled,
    begun: Instant,
    took: Duration,
}

/// Polls until the process shuts down. Returns when the last open poll is answered.
///
/// An open poll is never cancelled: AWS would give it a task that nobody receives.
pub async fn run(
    bridge: Arc<Bridge>,
    route: Arc<Route>,
    mut gate: watch::Receiver<Gate>,
    mut phase: watch::Receiver<Phase>,
) {
    let mut polls = JoinSet::new();
    let mut poll_scaler = PollScaler::new(route.config.pollers, route.source.busy_within());
    let mut not_before = Instant::now();
    let mut more_credit = route.credit.more();
    while phase.borrow_and_update().polls() {
        crash_point(CrashPoint::PollerLoop);
        let open = *gate.borrow_and_update() == Gate::Open;
        more_credit.mark_unchanged();
        let wanted = open && polls.len() < poll_scaler.target() && route.credit.allows_poll();
        let waiting = Instant::now() < not_before;
        tokio::select! {
            Some(answer) = polls.join_next() => {
                record(&route, &mut poll_scaler, answer, &mut not_before);
            }
            room = route.room(), if wanted && !waiting => {
                // Another route may have taken the credit while this one waited for room.
                if let Some(credit) = route.credit.begin_poll() {
                    let grant = PollGrant { gate: gate.clone(), phase: phase.clone(), credit };
                    polls.spawn(poll(Arc::clone(&bridge), Arc::clone(&route), room, grant));
                }
            }
            () = sleep_until(not_before), if wanted && waiting => {}
            // Both senders live as long as the process. The loop then checks its condition again.
            _ = gate.changed() => {}
            _ = phase.changed() => {}
            _ = more_credit.changed() => {}
        }
        route
            .metrics
            .pollers
            .set(i64::try_from(polls.len()).unwrap_or(i64::MAX));
    }
    info!(
        route = route.name(),
        open_polls = polls.len(),
        "no new polls; waiting for the open ones"
    );
    while polls.join_next().await.is_some() {
        route
            .metrics
            .pollers
            .set(i64::try_from(polls.len()).unwrap_or(i64::MAX));
    }
}

fn record(
    route: &Route,
    poll_scaler: &mut PollScaler,
    answer: Result<Answer, JoinError>,
    not_before: &mut Instant,
) {
    let answer = answer.unwrap_or_else(|panic| {
        error!(route = route.name(), %panic, "a poll panicked; this is a bug of activity-bridge");
        Answer {
            polled: Polled::Failed,
            begun: Instant::now(),
            took: Duration::ZERO,
        }
    });
    let late = answer.begun < *not_before;
    if let Some(wait) = poll_scaler.record(answer.polled, answer.took, late) {
        *not_before = Instant::now() + wait;
    }
}

/// The permission to poll. It can be withdrawn until the poll begins.
struct PollGrant {
    gate: watch::Receiver<Gate>,
    phase: watch::Receiver<Phase>,
    credit: PollCredit,
}

impl PollGrant {
    /// Resolves when the route may no longer poll. An error would mean that the process ends.
    async fn withdrawn(&mut self) {
        tokio::select! {
            _ = self.gate.wait_for(|gate| *gate != Gate::Open) => {}
            _ = self.phase.wait_for(|phase| !phase.polls()) => {}
        }
    }
}

/// Makes one poll when the rate limiter allows it, and spawns the publication of the task that it brings.
async fn poll(
    bridge: Arc<Bridge>,
    route: Arc<Route>,
    (slot, unpersisted): (Slot, UnpersistedPermit),
    mut grant: PollGrant,
) -> Answer {
    let permit = tokio::select! {
        biased;
        () = grant.withdrawn() => {
            return Answer { polled: Polled::Withdrawn, begun: Instant::now(), took: Duration::ZERO };
        }
        permit = route.source.rate_limiter().acquire(Call::Poll(route.rate_key)) => permit,
    };
    let begun = Instant::now();
    let answer = route.source.poll().await;
    permit.done((&answer).into());
    let took = begun.elapsed();
    let polled = match answer {
        Ok(Some(task)) => {
            route.metrics.polled(PollOutcome::Task);
            route.let_in(begun);
            let supervisor = bridge.supervisor.clone();
            let mut credit = grant.credit;
            credit.brought_task();
            let publishing = async move {
                publish::fresh(bridge, route, task, slot, unpersisted).await;
                // The broker has the task now, or the task has ended.
                drop(credit);
            };
            supervisor.spawn("a publication", publishing);
            Polled::Task
        }
        Ok(None) => {
            route.metrics.polled(PollOutcome::Empty);
            route.let_in(begun);
            Polled::Empty
        }
        Err(error) => failed(&route, &error),
    };
    Answer {
        polled,
        begun,
        took,
    }
}

fn failed(route: &Route, error: &SourceError) -> Polled {
    route.metrics.polled(error.fault().into());
    let name = route.name();
    match error {
        SourceError::Throttled(_) | SourceError::TooMany(_) => {
            if route.log_limiter.allows(LogTopic::Polls) {
                info!(route = name, %error, "polls are throttled");
            } else {
                debug!(route = name, %error, "a poll was throttled");
            }
            Polled::Throttled
        }
        SourceError::Unavailable(_) => {
            warn!(route = name, %error, "a poll failed; it is tried again");
            Polled::Failed
        }
        SourceError::Refused(_) | SourceError::Invalid(_) | SourceError::Gone(_) => {
            if route.set_refused(error.to_string()) {
                warn!(route = name, %error, "AWS refuses to be polled for this route");
            }
            Polled::Refused
        }
    }
}
