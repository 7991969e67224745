//! Replies: acts on each item of the broker's inbound stream.
//!
//! A reply is acknowledged when AWS has accepted what it says, or when it can have no effect any more. A reply that
//! can't be used is parked first. No reply is dropped. What a reply says is read in `parse`; what follows at AWS is
//! done in `outcome`.

use super::{
    access,
    answer::{acknowledge, answer, answer_sign, is_start, log_panic, task_id, tell},
    deliveries,
    end::{count_late, end},
    outcome,
    owner::{self, ReplyOwner},
    park::{self, Parked},
    parse::{Meaning, PANICKED, Unusable, is_sign, read},
    unusable,
};
use crate::{
    broker::{Delivery, Durability, Inbound, InboundStream, Receipt, is_type_of_task},
    context::Bridge,
    inflight::Standing,
    metrics::ReplyKind,
    route::Route,
    store::Note,
    task::{DeadLetter, Outcome, OwnFailure, Status, TaskId},
    util::{
        Backoff, Label,
        crash_point::{CrashPoint, crash_point, crash_point_over},
        supervise::{catch, catch_async},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tracing::{debug, info, warn};

/// Time for which a reply to a task of an unknown route is kept before it is requeued for another process. It limits
/// how often such a reply goes round.
const OTHER_ROUTE_DELAY: Duration = Duration::from_secs(5);

/// Reads the inbound stream until the broker is closed.
pub async fn run(bridge: Arc<Bridge>, mut inbound: InboundStream) {
    while let Some(inbound) = inbound.recv().await {
        crash_point(CrashPoint::ReplyLoop);
        handle(&bridge, inbound);
    }
}

/// Handles one item without waiting. Everything that takes time is spawned.
///
/// The number of spawned tasks is bounded. Each holds an unacknowledged delivery, and the prefetch limits those; or it
/// tells one worker that has begun, and ends as soon as the broker has that message; or it ends one task.
pub fn handle(bridge: &Arc<Bridge>, inbound: Inbound) {
    match inbound {
        Inbound::Reply(delivery) => handle_delivery(bridge, None, delivery),
        Inbound::Unreadable(delivery) => handle_unreadable(bridge, delivery),
        Inbound::DeadLetter(dead_letter, delivery) => {
            handle_delivery(bridge, Some(dead_letter), delivery)
        }
        Inbound::Returned(id) => fail_returned(bridge, id),
        Inbound::QueueLost {
            queue,
            missing_at,
            ready,
            noted,
        } => bridge.lost_queues.add(queue, missing_at, ready, noted),
        Inbound::Delivered { task, count } => deliveries::delivered(bridge, task, count),
        Inbound::CameBack { task, count } => deliveries::came_back(bridge, task, count),
        Inbound::Acknowledged(id) => deliveries::acknowledged(bridge, id),
        Inbound::Released(id) => deliveries::released(bridge, id),
        Inbound::Abandoned(id) => bridge.inflight.on_abandoned(id),
        Inbound::EarlyAck { route, releases } => deliveries::early_ack(bridge, &route, releases),
    }
}

/// Handles a reply or a dead letter.
fn handle_delivery(bridge: &Arc<Bridge>, dead_letter: Option<DeadLetter>, delivery: Delivery) {
    let Ok(found) = catch(|| look_up(bridge, &delivery)) else {
        log_panic(&delivery);
        return park(bridge, delivery, PANICKED);
    };
    let (id, standing, may_settle) = match found {
        Ok(found) => found,
        Err(because) => return park(bridge, delivery, because),
    };
    let route = match standing {
        Standing::Open(route) if may_settle => route,
        Standing::Open(_) => {
            let refusing = access::refuse(Arc::clone(bridge), id, delivery);
            bridge
                .supervisor
                .spawn("a reply of a user without the right", refusing);
            return;
        }
        Standing::Ended => {
            count_late(bridge, id);
            return match dead_letter {
                Some(_) => acknowledge(bridge, delivery.receipt),
                None => answer_sign(bridge, id, delivery, Status::Gone),
            };
        }
        Standing::Unknown if bridge.store.shared().is_some() => {
            let handling = handle_elsewhere(Arc::clone(bridge), id, dead_letter, delivery);
            bridge
                .supervisor
                .spawn("a reply to another process's task", handling);
            return;
        }
        Standing::Unknown => return park_unknown(bridge, delivery),
    };
    if let Some(dead_letter) = &dead_letter {
        let kind = dead_letter.death.label();
        debug!(route = route.name(), task = %id, kind, "a dead letter");
        route.metrics.dead_letter(dead_letter.death);
        bridge.inflight.stop_leg_clock(id);
        if !route.config.dead_letters {
            deliveries::dropped(bridge, id);
            return acknowledge(bridge, delivery.receipt);
        }
    }
    act(bridge, &route, (id, dead_letter), delivery);
}

/// Finds the task of a message: what this process knows of it, and whether the message's publisher may settle it. An error is the
/// reason for parking the message. This changes nothing.
fn look_up(bridge: &Bridge, delivery: &Delivery) -> Result<(TaskId, Standing, bool), &'static str> {
    crash_point_over(CrashPoint::OnLookup, &delivery.body);
    let id = task_id(delivery)?;
    let standing = bridge.inflight.standing(id);
    let may_settle = match &standing {
        Standing::Open(route) => access::may_settle(delivery, route),
        Standing::Ended | Standing::Unknown => true,
    };
    Ok((id, standing, may_settle))
}

/// Parks a message over which the reading panicked. Its task is failed if it is in flight here.
fn handle_unreadable(bridge: &Arc<Bridge>, delivery: Delivery) {
    let found = catch(|| (look_up(bridge, &delivery), is_sign(&delivery)));
    match found {
        Ok((Ok((id, Standing::Open(route), true)), is_sign)) => {
            refuse_open(bridge, &route, id, delivery, panicked(!is_sign));
        }
        // It may be another process's task. Who may settle that one is known only where everybody may.
        Ok((Ok((id, Standing::Unknown, _)), is_sign))
            if bridge.store.shared().is_some() && delivery.queues.is_none() =>
        {
            let refusing = refuse(Arc::clone(bridge), id, delivery, panicked(!is_sign));
            bridge.supervisor.spawn("an unusable reply", refusing);
        }
        _ => park(bridge, delivery, PANICKED),
    }
}

fn panicked(fails_task: bool) -> Unusable {
    Unusable {
        reason: PANICKED,
        because: PANICKED.to_owned(),
        fails_task,
    }
}

/// Fails a task whose message was returned after its confirm. Nobody would publish that message again.
fn fail_returned(bridge: &Arc<Bridge>, id: TaskId) {
    if let Some(handle) = bridge.inflight.on_returned(id) {
        let reason = "activity-bridge could not route it to its queue";
        warn!(route = handle.route.name(), task = %id, "{reason}; failing it back to AWS");
        let outcome = Outcome::failed(OwnFailure::Undelivered, reason);
        let settling = outcome::settle(Arc::clone(bridge), handle, outcome);
        bridge.supervisor.spawn("a settlement", settling);
    }
}

/// Acts on a reply to an open task, or on its dead letter.
fn act(
    bridge: &Arc<Bridge>,
    route: &Route,
    (id, dead_letter): (TaskId, Option<DeadLetter>),
    mut delivery: Delivery,
) {
    let is_copy = |text: &str| {
        let activity = bridge.inflight.activity(id);
        activity.is_some_and(|activity| is_type_of_task(text, &activity))
    };
    match read(route, id, dead_letter.as_ref(), &mut delivery, is_copy) {
        Ok(Meaning::Alive { details }) => {
            route.metrics.replied(ReplyKind::Alive);
            let (status, first) = bridge.inflight.on_sign(id, details);
            if first {
                bridge.store.note(id, Note::Begun);
            }
            if first || is_start(&delivery) {
                tell(bridge, id, status);
            }
            // If this heartbeat is lost, the next one replaces it.
            answer(bridge, delivery, status);
        }
        Ok(Meaning::End(outcome)) => {
            if dead_letter.is_none() {
                route.metrics.replied(outcome.kind().into());
            }
            end(bridge, id, outcome, delivery.receipt);
        }
        Err(reply) => refuse_open(bridge, route, id, delivery, reply),
    }
}

/// Refuses a reply to an open task that can't be used.
fn refuse_open(
    bridge: &Arc<Bridge>,
    route: &Route,
    id: TaskId,
    delivery: Delivery,
    reply: Unusable,
) {
    route.metrics.replied(ReplyKind::Unusable);
    let Unusable {
        reason,
        because,
        fails_task,
    } = &reply;
    unusable::log(bridge, reason, |left_out| {
        let queue = bridge.broker.reply_to();
        warn!(route = route.name(), task = %id, queue, because, fails_task, left_out, "a reply can't be used; parking it");
    });
    let refusing = refuse(Arc::clone(bridge), id, delivery, reply);
    bridge.supervisor.spawn("an unusable reply", refusing);
}

/// Parks a reply to a task that no process knows.
fn park_unknown(bridge: &Arc<Bridge>, delivery: Delivery) {
    let because = "no task of this bridge has this correlation_id";
    park(bridge, delivery, because);
}

/// Parks a reply to no task that this process knows. Its sender gets no answer: anybody could make the bridge write to any
/// queue by it.
fn park(bridge: &Arc<Bridge>, delivery: Delivery, because: &'static str) {
    let supervisor = &bridge.supervisor;
    let bridge = Arc::clone(bridge);
    supervisor.spawn("an unusable reply", async move {
        unusable::log(&bridge, because, |left_out| {
            let queue = bridge.broker.reply_to();
            warn!(
                queue,
                because, left_out, "a reply can't be used; parking it"
            );
        });
        match park::park_reply(&bridge, &delivery, because).await {
            Parked::Stored | Parked::PutBack => acknowledge(&bridge, delivery.receipt),
            Parked::NoRoom => delivery.receipt.requeue().await,
            Parked::ComesAgain => {}
        }
    });
}

/// Parks a reply to an open task, and then fails the task with the same reason, so that the workflow learns it at once. If
/// the reply can't be parked, its sender is told so, and the task is failed all the same.
async fn refuse(bridge: Arc<Bridge>, id: TaskId, delivery: Delivery, unusable: Unusable) {
    let because = &unusable.because;
    let parked = park::park_reply(&bridge, &delivery, because).await;
    let failure = || {
        let reason = format!("unusable reply: {because}");
        Outcome::failed(OwnFailure::UnusableReply, reason)
    };
    let is_new = !delivery.receipt.is_parked();
    if is_new && !unusable.fails_task && matches!(parked, Parked::Stored | Parked::NoRoom) {
        // A worker has the task, so from now on the worker's signs of life keep the task alive. A reply that comes again and
        // again, because it can't be parked, is no sign of life, and neither is one that was parked long ago.
        let (_, first) = bridge.inflight.on_sign(id, String::new());
        if first {
            bridge.store.note(id, Note::Begun);
        }
    }
    match (parked, unusable.fails_task) {
        (Parked::Stored, true) => end(&bridge, id, failure(), delivery.receipt),
        (Parked::Stored, false) => {
            if !delivery.receipt.ack().await {
                info!(task = %id, "a parked reply will be delivered, and parked, once more");
            }
        }
        (Parked::NoRoom, fails_task) => {
            if fails_task {
                end(&bridge, id, failure(), Receipt::none());
            }
            delivery.receipt.requeue().await;
        }
        // The task goes on until the reply comes again.
        (Parked::PutBack, _) => acknowledge(&bridge, delivery.receipt),
        (Parked::ComesAgain, _) => {}
    }
}

/// Handles a reply to a task that is not in flight here. The reply stays unacknowledged until the task's owner is known.
async fn handle_elsewhere(
    bridge: Arc<Bridge>,
    id: TaskId,
    dead_letter: Option<DeadLetter>,
    delivery: Delivery,
) {
    let Some(shared) = bridge.store.shared() else {
        return;
    };
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    // The `type` of a dead letter is the activity type, which may have the name of a sign of life.
    let sign = (dead_letter.is_none() && is_sign(&delivery)).then_some(&delivery);
    let owner = loop {
        let locating = async {
            match access::is_forbidden(&bridge, shared, id, &delivery).await? {
                true => Ok(None),
                false => owner::locate(&bridge, shared, id, sign).await.map(Some),
            }
        };
        // The message and the record of its task are read here. A panic over them would come again in every other process.
        let Ok(located) = catch_async(locating).await else {
            log_panic(&delivery);
            let ends = sign.is_none() && dead_letter.is_none() && delivery.queues.is_none();
            return refuse(bridge, id, delivery, panicked(ends)).await;
        };
        match located {
            Ok(Some(owner)) => break owner,
            Ok(None) => return access::refuse(bridge, id, delivery).await,
            // The broker delivers it again.
            Err(_) if !delivery.receipt.is_usable() => return,
            // The next heartbeat replaces this one, and results must not wait behind it. Nobody knows the id, so there is no
            // answer.
            Err(_) if sign.is_some() && bridge.store.unavailable().is_some() => {
                return acknowledge(&bridge, delivery.receipt);
            }
            Err(error) => {
                debug!(task = %id, %error, "could not ask the store for the owner of a task; trying again");
                sleep(backoff.next_wait()).await;
            }
        }
    };
    match owner {
        ReplyOwner::Here => handle_delivery(&bridge, dead_letter, delivery),
        ReplyOwner::Forwarded(status) => answer_sign(&bridge, id, delivery, status),
        ReplyOwner::Unknown => park_unknown(&bridge, delivery),
        ReplyOwner::Unreadable => {
            let because = "the record of its task in the token store can't be read";
            park(&bridge, delivery, because);
        }
        // There is no queue to leave it in.
        ReplyOwner::OtherRoute if bridge.broker.durability() == Durability::Process => {
            let because = "its task is of a route that is not configured here";
            park(&bridge, delivery, because);
        }
        ReplyOwner::OtherRoute => {
            let reason = "its task is of a route that another process has";
            unusable::log(&bridge, reason, |left_out| {
                info!(task = %id, left_out, "a reply to a task of a route that is not configured here; leaving it to another process");
            });
            sleep(OTHER_ROUTE_DELAY).await;
            delivery.receipt.requeue().await;
        }
    }
}
