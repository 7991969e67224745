//! Replies: from what a worker sent to the one thing that it means.
//!
//! A reply is acknowledged when AWS has what it says, or when it can never matter; one that can't be used is parked
//! first. None is dropped.

use crate::{
    bridge::Bridge,
    broker::{Delivery, REPLIES_EXCHANGE, Receipt, Replies},
    config::OversizeResult,
    crash,
    flights::{FinalReply, Standing, Status},
    parking, replicas,
    route::Route,
    settle,
    source::Unfit,
    store::Note,
    task::{HeaderValue, Outcome, OwnFailure, TaskId},
};
use std::{borrow::Cow, sync::Arc};
use tracing::{debug, info, warn};

/// Reads replies until the broker is closed.
pub async fn run(bridge: Arc<Bridge>, mut replies: Replies) {
    while let Some(delivery) = replies.recv().await {
        take(&bridge, delivery);
    }
}

/// What a usable reply says.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    End(Outcome),
    Alive { details: String },
}

/// Why a reply can't be used.
#[derive(Debug, PartialEq, Eq)]
struct Unusable {
    because: String,
    /// Whether the task must be failed, because the reply was meant to end it.
    fails_task: bool,
}

/// Decides what a reply means, without waiting for anything; what takes time is spawned.
///
/// How much is spawned is bounded: each spawned thing holds an unacknowledged delivery, of which the prefetch allows so
/// many, or tells one worker that begins, which is over as soon as the broker has it.
pub fn take(bridge: &Arc<Bridge>, mut delivery: Delivery) {
    let id = match task_id(&delivery) {
        Ok(id) => id,
        Err(because) => return park(bridge, delivery, because),
    };
    let route = match bridge.flights.standing(id) {
        Standing::Open(route) => route,
        Standing::Ended => {
            count_late(bridge, id);
            if is_start(&delivery) {
                tell(bridge, id, Status::Gone);
            }
            return answer(bridge, delivery, Status::Gone);
        }
        Standing::Unknown if bridge.store.shared().is_some() => {
            tokio::spawn(replicas::take_reply(Arc::clone(bridge), id, delivery));
            return;
        }
        Standing::Unknown => return park_unknown(bridge, delivery),
    };
    crash::pass(crash::Point::OnReply);
    if let Some(dead) = &delivery.dead_letter {
        debug!(route = route.name(), task = %id, kind = dead.death.kind(), "a dead letter");
        route.metrics.dead_letter(dead.death.kind());
        if !route.config.dead_letters {
            return acknowledge(delivery.receipt);
        }
        let outcome = dead.outcome(route.config.destination.queue());
        return end(bridge, id, outcome, delivery.receipt);
    }
    match read(&route, &mut delivery) {
        Ok(Meaning::Alive { details }) => {
            route.metrics.replied("alive");
            let (status, first) = bridge.flights.on_sign(id, details);
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
            route.metrics.replied(outcome.kind());
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
                let (_, first) = bridge.flights.on_sign(id, String::new());
                if first {
                    bridge.store.note(id, Note::Begun);
                }
            }
            tokio::spawn(refuse(Arc::clone(bridge), id, delivery, unusable));
        }
    }
}

/// Ends the task with an outcome, or finds that something else already did.
fn end(bridge: &Arc<Bridge>, id: TaskId, outcome: Outcome, receipt: Receipt) {
    match bridge.flights.on_final_reply(id, receipt) {
        FinalReply::Settle(ticket) => {
            tokio::spawn(settle::settle(Arc::clone(bridge), ticket, outcome));
        }
        // One copy stays unacknowledged until AWS has the outcome; the older may go.
        FinalReply::Superseded(older) => {
            bridge.metrics.late_replies.inc();
            if let Some(older) = older {
                acknowledge(older);
            }
        }
        FinalReply::Late(receipt) => {
            count_late(bridge, id);
            acknowledge(receipt);
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
            let bridge = Arc::clone(bridge);
            tokio::spawn(async move { parking::announce_cancel(&bridge, id, reason).await });
        }
    }
}

fn is_start(delivery: &Delivery) -> bool {
    delivery.kind.as_deref() == Some("started")
}

/// Acknowledges a reply; a sign of life that asks how the task fares is answered first.
fn answer(bridge: &Arc<Bridge>, delivery: Delivery, status: Status) {
    if !is_question(&delivery) {
        return acknowledge(delivery.receipt);
    }
    let bridge = Arc::clone(bridge);
    tokio::spawn(async move {
        parking::answer_sign(&bridge, &delivery, status).await;
        delivery.receipt.ack().await;
    });
}

/// Answers a sign of life that is handed on to the process that has the task.
pub fn answer_for_another(bridge: &Arc<Bridge>, id: TaskId, delivery: Delivery, status: Status) {
    if is_start(&delivery) {
        tell(bridge, id, status);
    }
    answer(bridge, delivery, status);
}

/// Whether it says no more than that a worker is alive.
#[must_use]
pub fn is_sign(delivery: &Delivery) -> bool {
    // A dead letter has the task's type, which may be called anything.
    delivery.dead_letter.is_none()
        && matches!(delivery.kind.as_deref(), Some("started" | "heartbeat"))
}

/// Whether it is a sign of life that says where to answer. A worker that copies the task's properties names the bridge's
/// own queue, which is no place for an answer.
fn is_question(delivery: &Delivery) -> bool {
    let own = |reply_to: &String| reply_to.starts_with(REPLIES_EXCHANGE);
    is_sign(delivery) && delivery.reply_to.as_ref().is_some_and(|to| !own(to))
}

fn acknowledge(receipt: Receipt) {
    // One whose connection has gone is delivered again, and met as late.
    tokio::spawn(receipt.ack());
}

/// Parks a reply to a task that nobody knows.
pub fn park_unknown(bridge: &Arc<Bridge>, delivery: Delivery) {
    let because = "no task of this bridge has this correlation_id";
    park(bridge, delivery, because);
}

fn park(bridge: &Arc<Bridge>, delivery: Delivery, because: &'static str) {
    let bridge = Arc::clone(bridge);
    tokio::spawn(async move {
        warn!(because, "a reply can't be used; parking it");
        if parking::park_reply(&bridge, &delivery, because).await {
            answer(&bridge, delivery, Status::Gone);
        }
    });
}

/// Parks a reply to an open task, then fails the task with the same reason, so that the workflow learns at once.
async fn refuse(bridge: Arc<Bridge>, id: TaskId, delivery: Delivery, unusable: Unusable) {
    let because = &unusable.because;
    if !parking::park_reply(&bridge, &delivery, because).await {
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

/// Reads a reply by the worker protocol and the limits of the route's source. Takes the body out of it where that is
/// usable; an unusable one stays whole.
fn read(route: &Route, delivery: &mut Delivery) -> Result<Meaning, Unusable> {
    let kind = delivery.kind.as_deref().unwrap_or("completed");
    let ends = matches!(kind, "completed" | "failed" | "canceled");
    if !ends && !matches!(kind, "started" | "heartbeat") {
        let shown: String = kind.chars().take(40).collect();
        return Err(Unusable {
            because: format!(
                "its type {shown:?} is none of completed, failed, canceled, started, heartbeat"
            ),
            fails_task: true,
        });
    }
    let body = match std::str::from_utf8(&delivery.body) {
        Ok(body) => body,
        Err(error) => {
            return Err(Unusable {
                because: format!("its body is not UTF-8 from byte {} on", error.valid_up_to()),
                fails_task: ends,
            });
        }
    };
    if !ends {
        return Ok(Meaning::Alive {
            details: route.source.fit_details(body),
        });
    }
    let reason = || text_header(delivery, &["reason", "error"]).unwrap_or("failed");
    let outcome = match kind {
        "failed" => Outcome::Failed {
            own: None,
            reason: reason().to_owned(),
            details: body.to_owned(),
        },
        "canceled" => Outcome::Canceled {
            details: body.to_owned(),
        },
        _ => Outcome::Completed {
            result: match route.source.result(body) {
                Ok(Cow::Borrowed(_)) => take_body(delivery),
                Ok(Cow::Owned(result)) => result,
                Err(unfit) => return Err(unusable(unfit, route)),
            },
        },
    };
    Ok(Meaning::End(outcome))
}

fn unusable(unfit: Unfit, route: &Route) -> Unusable {
    match unfit {
        Unfit::TooLong(because) => Unusable {
            because,
            fails_task: route.config.oversize_result == OversizeResult::Fail,
        },
        Unfit::WrongForm(because) => Unusable {
            because,
            fails_task: true,
        },
    }
}

/// The body, without copying it. It has been seen to be UTF-8.
fn take_body(delivery: &mut Delivery) -> String {
    String::from_utf8(std::mem::take(&mut delivery.body)).expect("checked by the caller")
}

fn text_header<'d>(delivery: &'d Delivery, names: &[&str]) -> Option<&'d str> {
    names.iter().find_map(|name| {
        let (_, value) = delivery.headers.iter().find(|(header, _)| header == name)?;
        match value {
            HeaderValue::Text(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
            HeaderValue::Integer(_) => None,
        }
    })
}
