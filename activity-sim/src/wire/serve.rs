//! How a call is answered: injected faults, throttles, counts, and the wait of a held poll.

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use crate::{
    calls::{CallScope, FaultEnd, Injected},
    conn::{ConnHandle, Hangup},
    hub::Hub,
    wire::{
        action::{Action, Begun},
        fault::Fault,
        token::{self, Token},
    },
};

/// The name under which calls of unknown actions are counted.
const UNKNOWN_ACTION: &str = "(unknown)";

/// The caller of an action.
pub(crate) struct Caller {
    pub(crate) conn: ConnHandle,
    /// The access key id that signed the call. The signature is not checked.
    pub(crate) by: Option<String>,
}

/// Answers one call.
///
/// # Cancel safety
///
/// The future is dropped when the caller closes the connection. A delayed call still takes effect. A held
/// poll stays held, and the task that it gets is recorded as abandoned.
pub(crate) async fn serve<A: Action>(
    action: A,
    hub: Arc<Hub>,
    caller: Caller,
    body: &[u8],
) -> Response {
    let Caller { conn, by } = caller;
    hub.count_arrival(action.name());
    let counted = Counted {
        hub: Some(&hub),
        action: action.name(),
    };
    let request = action.parse(body);
    let Injected { latency, end } = inject(&hub, action, &request);
    let lost = end == Some(FaultEnd::LostAnswer);
    let call = Call {
        action,
        request,
        by,
    };
    let begin = {
        let hub = Arc::clone(&hub);
        move || begin(&hub, call, end)
    };
    let begun = after(latency, begin).await;
    let settled = match begun {
        Begun::Waiting(answer) => match answer.await {
            Ok(Some(delivery)) => Begun::Task(delivery),
            Ok(None) => Begun::Reply(A::EMPTY_POLL.to_vec()),
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
            let body = A::task_body(hub.nonce, &delivery.handout);
            conn.attach(delivery);
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
        Begun::Waiting(_) => unreachable!("the answer of a held poll has come"),
    }
}

/// Answers a call of an unknown action.
pub(crate) fn unknown(hub: &Hub) -> Response {
    hub.calls.error(UNKNOWN_ACTION, "UnknownOperationException");
    refusal(&Fault::unknown_operation())
}

/// What the injected faults do to this call.
fn inject<A: Action>(hub: &Hub, action: A, request: &Result<A::Request, Fault>) -> Injected {
    if !hub.faults.any() {
        return Injected::default();
    }
    let place = request
        .as_ref()
        .ok()
        .and_then(|request| place_of_token::<A>(hub, request));
    let scope = match (&place, request) {
        (Some((domain, task_list)), _) => CallScope {
            domain: Some(domain.as_str()),
            task_list: Some(task_list.as_str()),
        },
        (None, Ok(request)) => A::scope(request),
        (None, Err(_)) => CallScope::default(),
    };
    hub.faults.inject(action.name(), scope, rand::random::<f64>)
}

/// The domain and the task list of the task whose token is in the request.
fn place_of_token<A: Action>(hub: &Hub, request: &A::Request) -> Option<(String, String)> {
    let Token::Task(task) = token::decode(A::ISSUER, hub.nonce, A::token(request)?) else {
        return None;
    };
    hub.read(|state| {
        let (domain, task_list) = state.world.place_of(task)?;
        Some((domain.to_owned(), task_list.to_owned()))
    })
}

/// Lets the call take effect after its injected latency. A delayed call has a tokio task of its own, so
/// it takes effect also when the caller closes the connection before.
async fn after(latency: Duration, begin: impl FnOnce() -> Begun + Send + 'static) -> Begun {
    if latency.is_zero() {
        return begin();
    }
    let delayed = tokio::spawn(async move {
        tokio::time::sleep(latency).await;
        begin()
    });
    delayed
        .await
        .unwrap_or(Begun::HangUp(Hangup::Close, "drop"))
}

/// A call after its body was read.
struct Call<A: Action> {
    action: A,
    request: Result<A::Request, Fault>,
    by: Option<String>,
}

fn begin<A: Action>(hub: &Arc<Hub>, call: Call<A>, end: Option<FaultEnd>) -> Begun {
    let Call {
        action,
        request,
        by,
    } = call;
    match end {
        Some(FaultEnd::Error { status, code }) => Begun::Fault(Fault::injected(status, code)),
        Some(FaultEnd::Drop) => Begun::HangUp(Hangup::Close, "drop"),
        Some(FaultEnd::Reset) => Begun::HangUp(Hangup::Reset, "reset"),
        None | Some(FaultEnd::LostAnswer) => {
            if !hub.throttles.admit(action.name(), hub.uptime()) {
                return Begun::Fault(Fault::throttled());
            }
            request
                .and_then(|request| action.execute(hub, request, by))
                .into()
        }
    }
}

/// Counts a call once, also when its handler is dropped.
struct Counted<'a> {
    hub: Option<&'a Hub>,
    action: &'static str,
}

impl Counted<'_> {
    fn ok(mut self) {
        if let Some(hub) = self.hub.take() {
            hub.calls.ok(self.action);
            hub.notify_change();
        }
    }

    fn error(mut self, name: &str) {
        self.count_error(name);
    }

    fn count_error(&mut self, name: &str) {
        if let Some(hub) = self.hub.take() {
            hub.calls.error(self.action, name);
            hub.notify_change();
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

/// The returned response is never written.
fn hang_up(conn: &ConnHandle, how: Hangup) -> Response {
    conn.hang_up(how);
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
