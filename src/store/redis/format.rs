//! How a task is written in the fields of its hash.

use crate::{
    input::Input,
    store::{Record, StoreError},
    task::{HeaderValue, Task, TaskId, TaskToken, Timeout, Timeouts, unix_millis},
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The fields of a record, in the order in which [`record`] reads them.
pub(super) const FIELDS: [&str; 7] = [
    "route",
    "token",
    "polled_at",
    "timeouts",
    "published",
    "begun",
    "heard",
];

/// A record is kept so long beyond the task's last possible moment.
const BEYOND: Duration = Duration::from_secs(86_400);
/// No task of SWF or Step Functions lives longer than a year.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// For how many milliseconds after the poll a record is kept.
pub(super) fn kept_for(timeouts: Timeouts) -> u64 {
    let lives = timeouts.start_to_close.certain().unwrap_or(LONGEST);
    millis(lives.min(LONGEST) + BEYOND)
}

#[derive(Deserialize, Serialize)]
struct StoredTimeouts {
    heartbeat: StoredTimeout,
    start_to_close: StoredTimeout,
}

/// In milliseconds.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum StoredTimeout {
    Unknown,
    Never,
    Usually(u64),
    After(u64),
}

/// What a task's message needs beyond its record.
#[derive(Deserialize, Serialize)]
struct StoredMessage<'a> {
    activity: Cow<'a, str>,
    headers: Vec<(Cow<'a, str>, StoredHeader<'a>)>,
    input: Cow<'a, str>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum StoredHeader<'a> {
    Integer(i64),
    Text(Cow<'a, str>),
}

pub(super) fn timeouts(timeouts: Timeouts) -> String {
    let stored = StoredTimeouts {
        heartbeat: timeouts.heartbeat.into(),
        start_to_close: timeouts.start_to_close.into(),
    };
    serde_json::to_string(&stored).unwrap_or_default()
}

/// What there is to publish of a task, beyond its record.
pub(super) fn message(task: &Task) -> String {
    let headers = task.headers.iter().map(|(name, value)| {
        let value = match value {
            HeaderValue::Integer(value) => StoredHeader::Integer(*value),
            HeaderValue::Text(text) => StoredHeader::Text(text.into()),
        };
        (Cow::Borrowed(&**name), value)
    });
    let stored = StoredMessage {
        activity: Cow::Borrowed(&task.activity),
        headers: headers.collect(),
        input: task.input.text().into(),
    };
    serde_json::to_string(&stored).unwrap_or_default()
}

/// The task whose record and message these are.
pub(super) fn task(record: Record, message: &str) -> Result<Task, StoreError> {
    let StoredMessage {
        activity,
        headers,
        input,
    } = serde_json::from_str(message).map_err(|_| unreadable(record.id, "message"))?;
    let headers = headers.into_iter().map(|(name, value)| {
        let value = match value {
            StoredHeader::Integer(value) => HeaderValue::Integer(value),
            StoredHeader::Text(text) => HeaderValue::Text(text.into_owned()),
        };
        (Cow::Owned(name.into_owned()), value)
    });
    Ok(Task {
        id: record.id,
        token: record.token,
        activity: activity.into_owned(),
        input: Input::from(input.into_owned()),
        headers: headers.collect(),
        polled_at: record.polled_at,
        timeouts: record.timeouts,
    })
}

/// The record of a task from [`FIELDS`].
pub(super) fn record(id: TaskId, fields: Vec<Option<String>>) -> Result<Record, StoreError> {
    let mut fields = fields.into_iter();
    let mut next = || fields.next().flatten().unwrap_or_default();
    let (route, token, polled_at, timeouts) = (next(), next(), next(), next());
    let (published, begun, heard) = (next(), next(), next());
    let stored: StoredTimeouts =
        serde_json::from_str(&timeouts).map_err(|_| unreadable(id, "timeouts"))?;
    Ok(Record {
        id,
        route,
        token: TaskToken::new(&token).ok_or_else(|| unreadable(id, "token"))?,
        polled_at: at(&polled_at).ok_or_else(|| unreadable(id, "polled_at"))?,
        timeouts: Timeouts {
            heartbeat: stored.heartbeat.into(),
            start_to_close: stored.start_to_close.into(),
        },
        published: published == "1",
        begun: begun == "1",
        heard: at(&heard),
    })
}

/// It was written by another version, or by hand.
fn unreadable(id: TaskId, field: &str) -> StoreError {
    StoreError::Unavailable(format!("the field {field} of task {id} can't be read"))
}

fn at(text: &str) -> Option<SystemTime> {
    Some(UNIX_EPOCH + Duration::from_millis(text.parse().ok()?))
}

/// A moment in the text of a field; an unknown one is empty.
pub(super) fn moment(at: Option<SystemTime>) -> String {
    at.map(|at| unix_millis(at).to_string()).unwrap_or_default()
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<Timeout> for StoredTimeout {
    fn from(timeout: Timeout) -> Self {
        match timeout {
            Timeout::Unknown => Self::Unknown,
            Timeout::Never => Self::Never,
            Timeout::Usually(limit) => Self::Usually(millis(limit)),
            Timeout::After(limit) => Self::After(millis(limit)),
        }
    }
}

impl From<StoredTimeout> for Timeout {
    fn from(stored: StoredTimeout) -> Self {
        match stored {
            StoredTimeout::Unknown => Self::Unknown,
            StoredTimeout::Never => Self::Never,
            StoredTimeout::Usually(millis) => Self::Usually(Duration::from_millis(millis)),
            StoredTimeout::After(millis) => Self::After(Duration::from_millis(millis)),
        }
    }
}
