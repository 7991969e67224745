//! What the bridge itself writes on what it parks, and reads again for a replay: when it was parked, what it is, the route of its task,
//! and whose tasks its publisher might settle.

use crate::{
    broker::{
        Delivery,
        names::{PARKED_AS, PARKED_AT, PARKED_QUEUES, PARKED_REPLY, PARKED_ROUTE},
    },
    context::Bridge,
    inflight::Standing,
    task::{HeaderValue, TaskId},
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Maximum length of the list of queues, in bytes. A publisher with a longer list may settle nothing by a replay.
const MAX_QUEUES: usize = 32_000;

/// The queues whose tasks a publisher may settle; `None` for all.
type Queues = Option<Arc<BTreeSet<Arc<str>>>>;

type Headers = Vec<(&'static str, HeaderValue)>;

/// What is written on a reply. A dead letter, and a reply that could not be read, are no replies that could be replayed.
pub(super) fn headers(bridge: &Bridge, reply: &Delivery) -> Headers {
    let id = reply.correlation_id.as_deref();
    let id = id.and_then(|id| TaskId::from_correlation_id(id).ok());
    let mut headers = written(bridge, id);
    if reply.may_be_copied {
        headers.push((PARKED_AS, text(PARKED_REPLY)));
    }
    if let Some(queues) = &reply.queues {
        let list: Vec<&str> = queues.iter().map(|queue| &**queue).collect();
        let list = serde_json::to_string(&list).unwrap_or_default();
        let list = Some(list).filter(|list| list.len() <= MAX_QUEUES);
        headers.push((PARKED_QUEUES, text(list.as_deref().unwrap_or("[]"))));
    }
    headers
}

/// What is written on an outcome that AWS did not take.
pub(super) fn headers_of_outcome(bridge: &Bridge, id: TaskId) -> Headers {
    let mut headers = written(bridge, Some(id));
    headers.push((PARKED_AS, text("outcome")));
    headers
}

fn written(bridge: &Bridge, id: Option<TaskId>) -> Headers {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let secs = now.map_or(0, |now| now.as_secs());
    let mut headers = vec![(
        PARKED_AT,
        HeaderValue::Integer(i64::try_from(secs).unwrap_or(i64::MAX)),
    )];
    if let Some(Standing::Open(route)) = id.map(|id| bridge.inflight.standing(id)) {
        headers.push((PARKED_ROUTE, text(route.name())));
    }
    headers
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::Text(text.to_owned())
}

/// When a message was parked; `None` if an older version parked it, or the broker did.
pub(super) fn at(parked: &Delivery) -> Option<SystemTime> {
    match header(parked, PARKED_AT)? {
        HeaderValue::Integer(secs) => {
            let since = std::time::Duration::from_secs(u64::try_from(*secs).ok()?);
            UNIX_EPOCH.checked_add(since)
        }
        HeaderValue::Text(_) => None,
    }
}

/// The text of a header of a parked message.
pub(super) fn text_of<'d>(parked: &'d Delivery, name: &str) -> Option<&'d str> {
    match header(parked, name)? {
        HeaderValue::Text(text) => Some(text),
        HeaderValue::Integer(_) => None,
    }
}

/// Whether a parked message is a worker's reply, as it came.
pub(super) fn is_reply(parked: &Delivery) -> bool {
    text_of(parked, PARKED_AS) == Some(PARKED_REPLY)
}

/// The queues whose tasks the publisher of a parked reply might settle. What can't be read means none.
pub(super) fn queues(parked: &Delivery) -> Queues {
    header(parked, PARKED_QUEUES)?;
    let list = text_of(parked, PARKED_QUEUES).unwrap_or_default();
    let list: Vec<String> = serde_json::from_str(list).unwrap_or_default();
    Some(Arc::new(list.into_iter().map(Arc::from).collect()))
}

fn header<'d>(parked: &'d Delivery, name: &str) -> Option<&'d HeaderValue> {
    let found = parked.headers.iter().find(|(header, _)| header == name);
    found.map(|(_, value)| value)
}
