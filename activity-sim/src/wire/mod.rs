//! The wire that both services share: JSON 1.0 over HTTP, one POST for every action, named by
//! `X-Amz-Target`; faults, throttles, latency, held polls, hang-ups, counting, and task tokens.
//!
//! What the actions of a service are and do is said by its [`Action`]; what tasks do is the world's.

mod fault;
pub(crate) mod limits;
pub(crate) mod token;

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::oneshot;

pub(crate) use self::fault::Fault;
use self::token::{Issuer, Token};
use crate::{
    conn::{ConnHandle, Hangup},
    faults::{About, FaultEnd, Injected},
    hub::{Delivery, Hub},
    world::Handout,
};

/// The actions of a service, and what they do.
pub(crate) trait Action: Copy + Send + 'static {
    /// What an `X-Amz-Target` header says before the action's name.
    const PREFIX: &'static str;
    /// Those that are simulated, the frequent ones first.
    const ALL: &'static [Self];
    /// Whose task tokens it knows.
    const ISSUER: Issuer;
    /// What an empty poll answers.
    const EMPTY_POLL: &'static [u8];
    /// A request, not yet validated.
    type Request: Send + 'static;

    fn name(self) -> &'static str;

    /// Reads the body of a call.
    fn parse(self, body: &[u8]) -> Result<Self::Request, Fault>;

    /// What the request itself says it is about.
    fn about(request: &Self::Request) -> About<'_>;

    /// The task token that the request carries.
    fn token(request: &Self::Request) -> Option<&str>;

    /// Validates a request and carries it out.
    ///
    /// `by` is the access key id that signed the call.
    fn execute(
        self,
        hub: &Arc<Hub>,
        request: Self::Request,
        by: Option<String>,
    ) -> Result<Begun, Fault>;

    /// The answer that hands out a task.
    fn task_body(nonce: u64, handout: &Handout) -> Vec<u8>;

    /// The action of this name.
    fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|action| action.name() == name)
    }

    /// The action that an `X-Amz-Target` header names.
    fn from_target(target: &str) -> Option<Self> {
        target.strip_prefix(Self::PREFIX).and_then(Self::named)
    }
}

/// Under what name calls are counted that name no action of ours.
const UNKNOWN_ACTION: &str = "(unknown)";

/// How far a call has come once it has taken effect.
pub(crate) enum Begun {
    /// The body of a success.
    Reply(Vec<u8>),
    Fault(Fault),
    /// No answer, but an end of the connection, counted under this name.
    HangUp(Hangup, &'static str),
    Task(Delivery),
    Held(oneshot::Receiver<Option<Delivery>>),
}

impl Begun {
    /// A success with this body.
    pub(crate) fn reply(body: &Value) -> Self {
        Self::Reply(written(body))
    }
}

impl From<Result<Begun, Fault>> for Begun {
    fn from(result: Result<Begun, Fault>) -> Self {
        result.unwrap_or_else(Self::Fault)
    }
}

/// Who calls.
pub(crate) struct Caller {
    pub(crate) conn: ConnHandle,
    /// The access key id that signed the call. Signatures are not checked.
    pub(crate) by: Option<String>,
}

/// Answers one call.
///
/// # Cancel safety
///
/// Dropped when the caller hangs up. A delayed call still takes effect, and a held poll stays held:
/// the task it gets is then noted as abandoned.
pub(crate) async fn serve<A: Action>(
    action: A,
    hub: Arc<Hub>,
    caller: Caller,
    body: &[u8],
) -> Response {
    let Caller { conn, by } = caller;
    hub.arrived(action.name());
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
        Begun::Held(answer) => match answer.await {
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

/// Answers a call of an action that neither service has.
pub(crate) fn unknown(hub: &Hub) -> Response {
    hub.calls.error(UNKNOWN_ACTION, "UnknownOperationException");
    refusal(&Fault::unknown_operation())
}

/// Reads a body.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::serialization(error.to_string()))
}

/// Writes a body.
pub(crate) fn written(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings and numbers can be written as JSON")
}

/// Sets a member, unless there is no value for it.
pub(crate) fn put(object: &mut Value, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        object[key] = Value::from(value);
    }
}

/// The injected faults that this call meets.
fn inject<A: Action>(hub: &Hub, action: A, request: &Result<A::Request, Fault>) -> Injected {
    if !hub.faults.any() {
        return Injected::default();
    }
    let place = request
        .as_ref()
        .ok()
        .and_then(|request| place_of_token::<A>(hub, request));
    let about = match (&place, request) {
        (Some((domain, task_list)), _) => About {
            domain: Some(domain.as_str()),
            task_list: Some(task_list.as_str()),
        },
        (None, Ok(request)) => A::about(request),
        (None, Err(_)) => About::default(),
    };
    hub.faults.inject(action.name(), about, rand::random::<f64>)
}

/// The domain and the task list of the task whose token the request carries.
fn place_of_token<A: Action>(hub: &Hub, request: &A::Request) -> Option<(String, String)> {
    let Token::Task(task) = token::decode(A::ISSUER, hub.nonce, A::token(request)?) else {
        return None;
    };
    hub.look(|state| {
        let (domain, task_list) = state.world.place_of(task)?;
        Some((domain.to_owned(), task_list.to_owned()))
    })
}

/// Lets the call take effect, after its injected latency in a task of its own: a caller that hangs up
/// meanwhile does not take the call back.
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

/// A call that was read.
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
