//! Reads a reply by the worker protocol: which outcome or sign of life it is, or why it can't be used. It changes no
//! state.

use crate::{
    broker::Delivery,
    route::{OversizeResult, Route},
    source::Unfit,
    task::{DeadLetter, HeaderValue, Outcome, TaskId},
    util::{
        crash_point::{CrashPoint, crash_point_over},
        supervise::catch,
    },
};
use std::borrow::Cow;
use tracing::error;

/// The meaning of a usable reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    End(Outcome),
    Alive { details: String },
}

/// Why a reply can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    pub(super) because: String,
    /// Whether the task must be failed, because the reply was meant to end it.
    pub(super) fails_task: bool,
}

/// Whether a reply is a sign of life: it says only that a worker is alive.
#[must_use]
pub fn is_sign(delivery: &Delivery) -> bool {
    matches!(delivery.kind.as_deref(), Some("started" | "heartbeat"))
}

/// The reason for parking a reply whose handling panicked.
pub(super) const PANICKED: &str = "handling it panicked; this is a bug of activity-bridge";

/// Reads a reply to an open task, or its dead letter. If that panics, the reply is unusable. Otherwise the broker would
/// deliver it to one process after another, and each would panic.
pub(super) fn read(
    route: &Route,
    id: TaskId,
    dead_letter: Option<&DeadLetter>,
    delivery: &mut Delivery,
) -> Result<Meaning, Unusable> {
    let meaning = catch(|| {
        crash_point_over(CrashPoint::OnReply, &delivery.body);
        match dead_letter {
            Some(dead) => {
                let limit = route.config.destination.delivery_limit_of(&dead.queue);
                Ok(Meaning::End(dead.outcome(limit)))
            }
            None => read_reply(route, delivery),
        }
    });
    meaning.unwrap_or_else(|_| {
        error!(route = route.name(), task = %id, "handling a reply panicked; this is a bug of activity-bridge");
        Err(Unusable {
            because: PANICKED.to_owned(),
            fails_task: dead_letter.is_some() || !is_sign(delivery),
        })
    })
}

/// Reads a reply by the worker protocol and by the limits of the route's source. Moves the body out of a usable reply;
/// an unusable one stays whole.
fn read_reply(route: &Route, delivery: &mut Delivery) -> Result<Meaning, Unusable> {
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

/// Moves the body out without copying it. The caller has checked that it is UTF-8.
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
