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
    route::{Following, PollCredit, Route, Slot, UnpersistedPermit},
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
    /// The number of the source, of those that the route has had.
    source: usize,
    polled: Polled,
    begun: Instant,
    took: Duration,
}

/// Polls until the loop is aborted, in the phases that allow it, with the settings that the route has now. [`OpenPolls::all_ended`] says when the last open poll is
/// answered.
///
/// An open poll is never cancelled: AWS would give it a task that nobody receives.
///
/// [`OpenPolls::all_ended`]: crate::route::OpenPolls::all_ended
pub async fn run(
    bridge: Arc<Bridge>,
    route: Arc<Route>,
    mut gate: watch::Receiver<Gate>,
    mut phase: watch::Receiver<Phase>,
) {
    let open_polls = Arc::clone(&route.open_polls);
    let count = open_polls.count();
    let mut polls = JoinSet::<Answer>::new();
    let mut poll_scaler = PollScaler::new(route.config.pollers, route.source.busy_within());
    let mut not_before = Instant::now();
    let mut more_credit = route.credit.more();
    let mut following = bridge.routes.follow(Arc::clone(&route));
    let mut route = route;
    // The number of the source, and its open polls. Polls of a source that the route had before may be open too.
    let (mut source, mut own_polls) = (0_usize, 0_usize);
    let mut polled = true;
    loop {
        let now = following.update();
        if !Arc::ptr_eq(&now, &route) {
            if now.config.source == route.config.source {
                poll_scaler.set_bounds(now.config.pollers);
            } else {
                poll_scaler = PollScaler::new(now.config.pollers, now.source.busy_within());
                not_before = Instant::now();
                (source, own_polls) = (source + 1, 0);
            }
            more_credit = now.credit.more();
            route = now;
        }
        let may_poll = phase.borrow_and_update().polls() && !route.is_leaving();
        if may_poll {
            crash_point(CrashPoint::PollerLoop);
        }
        if may_poll != polled {
            polled = may_poll;
            announce(&route, may_poll, polls.len());
        }
        let open = *gate.borrow_and_update() == Gate::Open && may_poll;
        more_credit.mark_unchanged();
        let wanted = open && own_polls < poll_scaler.target() && route.credit.allows_poll();
        let waiting = Instant::now() < not_before;
        tokio::select! {
            Some(answer) = polls.join_next() => {
                let is_former = answer.as_ref().is_ok_and(|answer| answer.source != source);
                if !is_former {
                    own_polls = own_polls.saturating_sub(1);
                    record(&route, &mut poll_scaler, answer, &mut not_before);
                }
            }
            room = route.room(), if wanted && !waiting => {
                // Another route may have taken the credit while this one waited for room.
                if let Some(credit) = route.credit.begin_poll() {
                    let following = following.clone();
                    let grant = PollGrant { gate: gate.clone(), phase: phase.clone(), following, credit, source };
                    own_polls += 1;
                    polls.spawn(poll(Arc::clone(&bridge), Arc::clone(&route), room, grant));
                }
            }
            () = sleep_until(not_before), if wanted && waiting => {}
            // The loop then checks its condition again.
            Ok(()) = gate.changed() => {}
            Ok(()) = phase.changed() => {}
            Ok(()) = more_credit.changed() => {}
            () = following.changed() => {}
        }
        count.set(polls.len());
        let open_polls = i64::try_from(polls.len()).unwrap_or(i64::MAX);
        route.metrics.pollers.set(open_polls);
    }
}

fn announce(route: &Route, may_poll: bool, open_polls: usize) {
    let route = route.name();
    match may_poll {
        true => info!(route, open_polls, "new polls may begin again"),
        false => info!(route, open_polls, "no new polls; waiting for the open ones"),
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
            source: 0,
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
    following: Following,
    credit: PollCredit,
    /// See [`Answer::source`].
    source: usize,
}

impl PollGrant {
    /// Resolves when the route may no longer poll. An error would mean that the process ends.
    async fn withdrawn(&mut self) {
        tokio::select! {
            _ = self.gate.wait_for(|gate| *gate != Gate::Open) => {}
            _ = self.phase.wait_for(|phase| !phase.polls()) => {}
            () = self.following.changed() => {}
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
            return Answer { source: grant.source, polled: Polled::Withdrawn, begun: Instant::now(), took: Duration::ZERO };
        }
        permit = route.source.rate_limiter().acquire(Call::Poll(route.rate_key)) => permit,
    };
    let source = grant.source;
    let begun = Instant::now();
    let answer = route.source.poll().await;
    permit.done((&answer).into());
    let took = begun.elapsed();
    let polled = match answer {
        Ok(Some(task)) => {
            route.metrics.polled(PollOutcome::Task);
            route.open_polls.brought_task();
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
            route.open_polls.brought_nothing(false);
            route.let_in(begun);
            Polled::Empty
        }
        Err(error) => failed(&route, &error),
    };
    Answer {
        source,
        polled,
        begun,
        took,
    }
}

fn failed(route: &Route, error: &SourceError) -> Polled {
    route.metrics.polled(error.fault().into());
    route.open_polls.brought_nothing(true);
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
