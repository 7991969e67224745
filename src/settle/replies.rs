//! Replies: from what a worker sent to the one thing that it means.
//!
//! A reply is acknowledged when AWS has what it says, or when it can never matter; one that can't be used is parked
//! first. None is dropped.

use super::{
    notify, outcome,
    owner::{self, ReplyOwner},
    park,
    parse::{Meaning, PANICKED, Unusable, is_sign, read},
};
use crate::{
    broker::{Delivery, Receipt, Replies, names::REPLIES_EXCHANGE},
    context::Bridge,
    inflight::{FinalReply, Standing},
    store::Note,
    task::{Outcome, OwnFailure, Status, TaskId},
    util::{
        Backoff,
        crash_point::{CrashPoint, crash_point},
        supervise::catch_async,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

/// Reads replies until the broker is closed.
pub async fn run(bridge: Arc<Bridge>, mut replies: Replies) {
    while let Some(delivery) = replies.recv().await {
        crash_point(CrashPoint::ReplyLoop);
        handle(&bridge, delivery);
    }
}

/// Decides what a reply means, without waiting for anything; what takes time is spawned.
///
/// How much is spawned is bounded: each spawned thing holds an unacknowledged delivery, of which the prefetch allows so
/// many, or tells one worker that begins, which is over as soon as the broker has it.
pub fn handle(bridge: &Arc<Bridge>, mut delivery: Delivery) {
    let id = match task_id(&delivery) {
        Ok(id) => id,
        Err(because) => return park(bridge, delivery, because),
    };
    let route = match bridge.inflight.standing(id) {
        Standing::Open(route) => route,
        Standing::Ended => {
            count_late(bridge, id);
            if is_start(&delivery) {
                tell(bridge, id, Status::Gone);
            }
            return answer(bridge, delivery, Status::Gone);
        }
        Standing::Unknown if bridge.store.shared().is_some() => {
            let handling = handle_elsewhere(Arc::clone(bridge), id, delivery);
            bridge
                .supervisor
                .spawn("a reply to another process's task", handling);
            return;
        }
        Standing::Unknown => return park_unknown(bridge, delivery),
    };
    if let Some(dead) = &delivery.dead_letter {
        debug!(route = route.name(), task = %id, kind = dead.death.kind(), "a dead letter");
        route.metrics.dead_letter(dead.death.kind());
        if !route.config.dead_letters {
            return acknowledge(bridge, delivery.receipt);
        }
    }
    match read(&route, id, &mut delivery) {
        Ok(Meaning::Alive { details }) => {
            route.metrics.replied("alive");
            let (status, first) = bridge.inflight.on_sign(id, details);
            if first {
                bridge.store.note(id, Note::Begun);
            }
            if first || is_start(&delivery) {
                tell(bridge, id, status);
            }
            // A heartbeat that is lost is made good by the next one.
            answer(bridge, delivery, status);
        }
        Ok(Meaning::End(outcome)) => {
            if delivery.dead_letter.is_none() {
                route.metrics.replied(outcome.kind());
            }
            end(bridge, id, outcome, delivery.receipt);
        }
        Err(unusable) => {
            route.metrics.replied("unusable");
            let Unusable {
                because,
                fails_task,
            } = &unusable;
            warn!(route = route.name(), task = %id, because, fails_task, "a reply can't be used; parking it");
            if !fails_task {
                // There is a worker, of whose signs of life the task must now live.
                let (_, first) = bridge.inflight.on_sign(id, String::new());
                if first {
                    bridge.store.note(id, Note::Begun);
                }
            }
            let refusing = refuse(Arc::clone(bridge), id, delivery, unusable);
            bridge.supervisor.spawn("an unusable reply", refusing);
        }
    }
}

/// Ends the task with an outcome, or finds that something else already did.
fn end(bridge: &Arc<Bridge>, id: TaskId, outcome: Outcome, receipt: Receipt) {
    match bridge.inflight.on_final_reply(id, receipt) {
        FinalReply::Settle(handle) => {
            let settling = outcome::settle(Arc::clone(bridge), handle, outcome);
            bridge.supervisor.spawn("a settlement", settling);
        }
        // One copy stays unacknowledged until AWS has the outcome; the older may go.
        FinalReply::Superseded(older) => {
            bridge.metrics.late_replies.inc();
            if let Some(older) = older {
                acknowledge(bridge, older);
            }
        }
        FinalReply::Late(receipt) => {
            count_late(bridge, id);
            acknowledge(bridge, receipt);
        }
    }
}

/// Counts a reply to a task that has ended: the same reply again, or one that lost a race.
fn count_late(bridge: &Bridge, id: TaskId) {
    debug!(task = %id, "a reply to a task that has ended");
    bridge.metrics.late_replies.inc();
}

/// Tells a worker that has just begun what was announced before it listened.
fn tell(bridge: &Arc<Bridge>, id: TaskId, status: Status) {
    let reason = status.label();
    match status {
        Status::Alive => {}
        Status::CancelRequested | Status::Gone => {
            let supervisor = &bridge.supervisor;
            let bridge = Arc::clone(bridge);
            supervisor.spawn("the announcement of a cancel", async move {
                notify::announce_cancel(&bridge, id, reason).await;
            });
        }
    }
}

fn is_start(delivery: &Delivery) -> bool {
    delivery.kind.as_deref() == Some("started")
}

/// Acknowledges a reply; a sign of life that asks how the task fares is answered first.
fn answer(bridge: &Arc<Bridge>, delivery: Delivery, status: Status) {
    if !is_question(&delivery) {
        return acknowledge(bridge, delivery.receipt);
    }
    let supervisor = &bridge.supervisor;
    let bridge = Arc::clone(bridge);
    supervisor.spawn("the answer to a sign of life", async move {
        let answering = notify::answer_sign(&bridge, &delivery, status);
        let answered = catch_async(answering).await;
        if answered.is_err() {
            log_panic(&delivery);
            if !park::park_reply(&bridge, &delivery, PANICKED).await {
                return;
            }
        }
        delivery.receipt.ack().await;
    });
}

/// Answers a sign of life that is handed on to the process that has the task.
fn answer_for_another(bridge: &Arc<Bridge>, id: TaskId, delivery: Delivery, status: Status) {
    if is_start(&delivery) {
        tell(bridge, id, status);
    }
    answer(bridge, delivery, status);
}

/// Whether it is a sign of life that says where to answer. A worker that copies the task's properties names the bridge's
/// own queue, which is no place for an answer.
fn is_question(delivery: &Delivery) -> bool {
    let own = |reply_to: &String| reply_to.starts_with(REPLIES_EXCHANGE);
    is_sign(delivery) && delivery.reply_to.as_ref().is_some_and(|to| !own(to))
}

fn acknowledge(bridge: &Bridge, receipt: Receipt) {
    // One whose connection has gone is delivered again, and met as late.
    bridge.supervisor.spawn("an acknowledgement", receipt.ack());
}

fn log_panic(delivery: &Delivery) {
    let task = delivery.correlation_id.as_deref();
    error!(
        task,
        "handling a reply panicked; this is a bug of activity-bridge"
    );
}

/// Parks a reply to a task that nobody knows.
fn park_unknown(bridge: &Arc<Bridge>, delivery: Delivery) {
    let because = "no task of this bridge has this correlation_id";
    park(bridge, delivery, because);
}

fn park(bridge: &Arc<Bridge>, delivery: Delivery, because: &'static str) {
    let supervisor = &bridge.supervisor;
    let bridge = Arc::clone(bridge);
    supervisor.spawn("an unusable reply", async move {
        warn!(because, "a reply can't be used; parking it");
        if park::park_reply(&bridge, &delivery, because).await {
            answer(&bridge, delivery, Status::Gone);
        }
    });
}

/// Parks a reply to an open task, then fails the task with the same reason, so that the workflow learns at once.
async fn refuse(bridge: Arc<Bridge>, id: TaskId, delivery: Delivery, unusable: Unusable) {
    let because = &unusable.because;
    if !park::park_reply(&bridge, &delivery, because).await {
        // The connection has gone, and the broker will deliver the reply again.
        return;
    }
    if unusable.fails_task {
        let outcome = Outcome::failed(
            OwnFailure::UnusableReply,
            format!("unusable reply: {because}"),
        );
        end(&bridge, id, outcome, delivery.receipt);
    } else if !delivery.receipt.ack().await {
        info!(task = %id, "a parked reply will be delivered, and parked, once more");
    }
}

fn task_id(delivery: &Delivery) -> Result<TaskId, &'static str> {
    match &delivery.correlation_id {
        None => Err("it has no correlation_id"),
        Some(id) => id
            .parse()
            .map_err(|_| "its correlation_id is not a task id"),
    }
}

/// How long a reply to a task of a route that is not configured here is held before another process may have it.
const HELD: Duration = Duration::from_secs(5);

/// Handles a reply to a task that is not in flight here. The reply stays unacknowledged until the task's owner is known.
async fn handle_elsewhere(bridge: Arc<Bridge>, id: TaskId, delivery: Delivery) {
    let Some(shared) = bridge.store.shared() else {
        return;
    };
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let owner = loop {
        let locating = owner::locate(&bridge, shared, id, &delivery);
        let Ok(located) = catch_async(locating).await else {
            log_panic(&delivery);
            let unusable = Unusable {
                because: PANICKED.to_owned(),
                fails_task: !is_sign(&delivery),
            };
            return refuse(bridge, id, delivery, unusable).await;
        };
        match located {
            Ok(owner) => break owner,
            // It will be delivered again.
            Err(_) if !delivery.receipt.is_usable() => return,
            // The next one makes up for it; and results shall not wait behind it.
            Err(_) if is_sign(&delivery) && bridge.store.unavailable().is_some() => {
                break ReplyOwner::Forwarded(Status::Alive);
            }
            Err(error) => {
                debug!(task = %id, %error, "could not ask whose the task of a reply is; trying again");
                sleep(backoff.next_wait()).await;
            }
        }
    };
    match owner {
        ReplyOwner::Here => handle(&bridge, delivery),
        ReplyOwner::Forwarded(status) => answer_for_another(&bridge, id, delivery, status),
        ReplyOwner::Unknown => park_unknown(&bridge, delivery),
        ReplyOwner::OtherRoute => {
            info!(task = %id, "a reply to a task of a route that is not configured here; leaving it to another process");
            sleep(HELD).await;
            delivery.receipt.requeue().await;
        }
    }
}
