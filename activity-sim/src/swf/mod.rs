//! The wire of Amazon SWF: JSON 1.0 over HTTP, one POST for every action, named by `X-Amz-Target`.
//!
//! Owns the actions, their limits and faults, and the task tokens. What the actions do is `execute`'s;
//! what tasks do is the world's.

mod action;
mod execute;
mod fault;
mod history;
mod limits;
mod request;
mod token;

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use tokio::sync::oneshot;

pub(crate) use self::action::Action;
use self::{fault::Fault, request::Request};
use crate::{
    conn::{ConnHandle, Hangup},
    faults::{FaultEnd, Injected},
    hub::{Delivery, Hub},
};

/// What an empty poll answers: all members that the service's model says are always there.
const EMPTY_POLL: &[u8] = br#"{"taskToken":"","activityId":"","startedEventId":0}"#;

/// Under what name calls are counted that name no action of ours.
const UNKNOWN_ACTION: &str = "(unknown)";

/// How far a call has come once it has taken effect.
enum Begun {
    /// The body of a success.
    Reply(Vec<u8>),
    Fault(Fault),
    /// No answer, but an end of the connection, counted under this name.
    HangUp(Hangup, &'static str),
    Task(Delivery),
    Held(oneshot::Receiver<Option<Delivery>>),
}

impl From<Result<Begun, Fault>> for Begun {
    fn from(result: Result<Begun, Fault>) -> Self {
        result.unwrap_or_else(Self::Fault)
    }
}

/// Answers one call.
///
/// # Cancel safety
///
/// Dropped when the caller hangs up. A delayed call still takes effect, and a held poll stays held:
/// the task it gets is then noted as abandoned.
pub(crate) async fn serve(
    State(hub): State<Arc<Hub>>,
    ConnectInfo(conn): ConnectInfo<ConnHandle>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok());
    let Some(action) = target.and_then(Action::from_target) else {
        hub.calls.error(UNKNOWN_ACTION, "UnknownOperationException");
        return refusal(&Fault::unknown_operation());
    };
    hub.arrived(action.name());
    let counted = Counted {
        hub: Some(&hub),
        action: action.name(),
    };
    let request = Request::parse(action, &body);
    let Injected { latency, end } = inject(&hub, action, &request);
    let lost = end == Some(FaultEnd::LostAnswer);
    let begun = begin_after(latency, Arc::clone(&hub), action, request, end).await;
    let settled = match begun {
        Begun::Held(answer) => match answer.await {
            Ok(Some(delivery)) => Begun::Task(delivery),
            Ok(None) => Begun::Reply(EMPTY_POLL.to_vec()),
            // The simulator is being stopped.
            Err(_) => Begun::HangUp(Hangup::Close, "drop"),
        },
        other => other,
    };
    if lost {
        counted.error("lost-answer");
        return hang_up(&conn, Hangup::Close);
    }
    match settled {
        Begun::Reply(body) => {
            counted.ok();
            answer(StatusCode::OK, body)
        }
        Begun::Task(delivery) => {
            counted.ok();
            let body = execute::task_body(hub.nonce, &delivery.handout);
            conn.carries(delivery);
            answer(StatusCode::OK, body)
        }
        Begun::Fault(fault) => {
            counted.error(&fault.code);
            refusal(&fault)
        }
        Begun::HangUp(how, name) => {
            counted.error(name);
            hang_up(&conn, how)
        }
        Begun::Held(_) => unreachable!("a held poll was waited for"),
    }
}

/// The injected faults that this call meets.
fn inject(hub: &Hub, action: Action, request: &Result<Request, Fault>) -> Injected {
    if !hub.faults.any() {
        return Injected::default();
    }
    let place = request
        .as_ref()
        .ok()
        .and_then(|request| execute::place_of_token(hub, request));
    let about = match (&place, request) {
        (Some((domain, task_list)), _) => crate::faults::About {
            domain: Some(domain.as_str()),
            task_list: Some(task_list.as_str()),
        },
        (None, Ok(request)) => request.about(),
        (None, Err(_)) => crate::faults::About::default(),
    };
    hub.faults.inject(action.name(), about, rand::random::<f64>)
}

/// Lets the call take effect, after its injected latency in a task of its own: a caller that hangs up
/// meanwhile does not take the call back.
async fn begin_after(
    latency: Duration,
    hub: Arc<Hub>,
    action: Action,
    request: Result<Request, Fault>,
    end: Option<FaultEnd>,
) -> Begun {
    if latency.is_zero() {
        return begin(&hub, action, request, end);
    }
    let delayed = tokio::spawn(async move {
        tokio::time::sleep(latency).await;
        begin(&hub, action, request, end)
    });
    delayed
        .await
        .unwrap_or(Begun::HangUp(Hangup::Close, "drop"))
}

fn begin(
    hub: &Arc<Hub>,
    action: Action,
    request: Result<Request, Fault>,
    end: Option<FaultEnd>,
) -> Begun {
    match end {
        Some(FaultEnd::Error { status, code }) => Begun::Fault(Fault::injected(status, code)),
        Some(FaultEnd::Drop) => Begun::HangUp(Hangup::Close, "drop"),
        Some(FaultEnd::Reset) => Begun::HangUp(Hangup::Reset, "reset"),
        None | Some(FaultEnd::LostAnswer) => {
            if !hub.throttles.admit(action.name(), hub.uptime()) {
                return Begun::Fault(Fault::throttled());
            }
            request
                .and_then(|request| execute::execute(hub, action, request))
                .into()
        }
    }
}

/// A call that counts once, also when its handler is dropped.
struct Counted<'a> {
    hub: Option<&'a Hub>,
    action: &'static str,
}

impl Counted<'_> {
    fn ok(mut self) {
        if let Some(hub) = self.hub.take() {
            hub.calls.ok(self.action);
            hub.changed();
        }
    }

    fn error(mut self, name: &str) {
        self.count_error(name);
    }

    fn count_error(&mut self, name: &str) {
        if let Some(hub) = self.hub.take() {
            hub.calls.error(self.action, name);
            hub.changed();
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.count_error("client-gone");
    }
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-amz-json-1.0"),
    );
    let id = format!("{:032x}", rand::random::<u128>());
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

fn refusal(fault: &Fault) -> Response {
    answer(fault.status(), fault.body())
}

/// What is returned is never written.
fn hang_up(conn: &ConnHandle, how: Hangup) -> Response {
    conn.hang_up(how);
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
