//! Reads a reply by the worker protocol: which outcome or sign of life it is, or why it can't be used. It changes no
//! state.

use crate::{
    broker::{Delivery, ReplyType},
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
    /// The kind of reason, for the limit on log lines.
    pub(super) reason: &'static str,
    pub(super) because: String,
    /// Whether the task must be failed, because the reply was meant to end it.
    pub(super) fails_task: bool,
}

/// Whether a reply is a sign of life: it says only that a worker is alive.
#[must_use]
pub fn is_sign(delivery: &Delivery) -> bool {
    delivery.reply_type().is_some_and(ReplyType::is_sign)
}

/// The reason for parking a reply whose handling panicked.
pub(super) const PANICKED: &str = "handling it panicked; this is a bug of activity-bridge";

/// Reads a reply to an open task, or its dead letter. `is_copy` says whether a text is the `type` of the task's message. If that panics, the reply is unusable. Otherwise the broker would
/// deliver it to one process after another, and each would panic.
pub(super) fn read(
    route: &Route,
    id: TaskId,
    dead_letter: Option<&DeadLetter>,
    delivery: &mut Delivery,
    is_copy: impl Fn(&str) -> bool,
) -> Result<Meaning, Unusable> {
    let meaning = catch(|| {
        crash_point_over(CrashPoint::OnReply, &delivery.body);
        match dead_letter {
            Some(dead) => {
                let limit = route.config.destination.delivery_limit_of(&dead.queue);
                Ok(Meaning::End(dead.outcome(limit)))
            }
            None => read_reply(route, delivery, is_copy),
        }
    });
    meaning.unwrap_or_else(|_| {
        error!(route = route.name(), task = %id, "handling a reply panicked; this is a bug of activity-bridge");
        Err(Unusable {
            reason: PANICKED,
            because: PANICKED.to_owned(),
            fails_task: dead_letter.is_some() || !is_sign(delivery),
        })
    })
}

/// Reads a reply by the worker protocol and by the limits of the route's source. Moves the body out of a usable reply;
/// an unusable one stays whole.
fn read_reply(
    route: &Route,
    delivery: &mut Delivery,
    is_copy: impl Fn(&str) -> bool,
) -> Result<Meaning, Unusable> {
    let reply_type = match (delivery.reply_type(), delivery.unknown_type(is_copy)) {
        (Some(known), _) => known,
        (None, None) => ReplyType::Completed,
        (None, Some(unknown)) => {
            let shown: String = unknown.chars().take(40).collect();
            return Err(Unusable {
                reason: "its type is not known",
                because: format!(
                    "its type {shown:?} is none of completed, failed, canceled, started, heartbeat"
                ),
                fails_task: true,
            });
        }
    };
    let ends = !reply_type.is_sign();
    let body = match std::str::from_utf8(&delivery.body) {
        Ok(body) => body,
        Err(error) => {
            return Err(Unusable {
                reason: "its body is not UTF-8",
                because: format!("its body is not UTF-8 from byte {} on", error.valid_up_to()),
                fails_task: ends,
            });
        }
    };
    Ok(Meaning::End(match reply_type {
        ReplyType::Started | ReplyType::Heartbeat => {
            return Ok(Meaning::Alive {
                details: route.source.fit_details(body),
            });
        }
        ReplyType::Failed => Outcome::Failed {
            own: None,
            reason: header(delivery, &["reason", "error"])
                .unwrap_or(Cow::Borrowed("failed"))
                .into_owned(),
            details: body.to_owned(),
        },
        ReplyType::Canceled => Outcome::Canceled {
            details: body.to_owned(),
        },
        ReplyType::Completed => Outcome::Completed {
            result: match route.source.result(body) {
                Ok(Cow::Borrowed(_)) => take_body(delivery),
                Ok(Cow::Owned(result)) => result,
                Err(unfit) => return Err(unusable(unfit, route)),
            },
        },
    }))
}

fn unusable(unfit: Unfit, route: &Route) -> Unusable {
    match unfit {
        Unfit::TooLong(because) => Unusable {
            reason: "its result is too long",
            because,
            fails_task: route.config.oversize_result == OversizeResult::Fail,
        },
        Unfit::WrongForm(because) => Unusable {
            reason: "its result has the wrong form",
            because,
            fails_task: true,
        },
    }
}

/// Moves the body out without copying it. The caller has checked that it is UTF-8.
fn take_body(delivery: &mut Delivery) -> String {
    String::from_utf8(std::mem::take(&mut delivery.body)).expect("checked by the caller")
}

/// The first of these headers that is not empty, as a text.
fn header<'d>(delivery: &'d Delivery, names: &[&str]) -> Option<Cow<'d, str>> {
    names.iter().find_map(|name| {
        let (_, value) = delivery.headers.iter().find(|(header, _)| header == name)?;
        match value {
            HeaderValue::Text(text) if text.is_empty() => None,
            HeaderValue::Text(text) => Some(Cow::Borrowed(text.as_str())),
            HeaderValue::Integer(number) => Some(Cow::Owned(number.to_string())),
        }
    })
}
