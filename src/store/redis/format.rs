//! The format of a task in Redis: the fields of its hash.

use crate::{
    store::{
        Record, StoreError,
        codec::{self, SCHEMA, StoredTimeout, Unreadable},
    },
    task::{Task, TaskId, TaskToken, Timeouts, unix_millis},
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// The fields of a record, in the order in which [`record`] reads them.
pub(crate) const FIELDS: [&str; 13] = [
    "route",
    "token",
    "polled_at",
    "timeouts",
    "published",
    "begun",
    "heard",
    "durable",
    "failed_deliveries",
    "has_outcome",
    "activity",
    "source",
    "schema",
];

/// The values of some fields, as Redis has them.
pub(crate) type Fields = Vec<Option<Vec<u8>>>;

/// An epoch from this on is none that this version has written. A script could not count it up.
const MAX_EPOCH: u64 = 1 << 53;

/// Time for which a record is kept after the latest possible end of its task.
const RECORD_RESERVE: Duration = Duration::from_secs(86_400);

/// Maximum lifetime of a task of SWF or Step Functions.
const MAX_TASK_LIFETIME: Duration = Duration::from_secs(365 * 86_400);

/// The time to live of a record after the poll, in milliseconds.
pub(crate) fn ttl_millis(timeouts: Timeouts) -> u64 {
    let lifetime = timeouts
        .start_to_close
        .certain()
        .unwrap_or(MAX_TASK_LIFETIME);
    millis(lifetime.min(MAX_TASK_LIFETIME) + RECORD_RESERVE)
}

#[derive(Default, Deserialize, Serialize)]
struct StoredTimeouts {
    heartbeat: StoredTimeout,
    start_to_close: StoredTimeout,
}

pub(crate) fn timeouts(timeouts: Timeouts) -> Result<String, StoreError> {
    let stored = StoredTimeouts {
        heartbeat: timeouts.heartbeat.into(),
        start_to_close: timeouts.start_to_close.into(),
    };
    serde_json::to_string(&stored).map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// The message of a task: what is to be published beyond the record.
pub(crate) fn message(task: &Task) -> Result<Vec<u8>, StoreError> {
    codec::message(task).map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// The task from its record and its message.
pub(crate) fn task(record: Record, message: &[u8]) -> Result<Task, StoreError> {
    let unreadable = |_| StoreError::Unreadable("the field message has another form".to_owned());
    codec::task(record, message).map_err(unreadable)
}

/// The name of a process. An error is something else.
pub(crate) fn owner(name: Vec<u8>) -> Result<String, Vec<u8>> {
    match String::from_utf8(name) {
        // Braces would move its keys to other slots of a Cluster.
        Ok(name) if !name.is_empty() && !name.contains(['{', '}']) => Ok(name),
        Ok(other) => Err(other.into_bytes()),
        Err(other) => Err(other.into_bytes()),
    }
}

/// The epoch from the field `turn`.
pub(crate) fn epoch(turn: &[u8]) -> Option<u64> {
    let epoch = str::from_utf8(turn).ok()?.parse().ok();
    epoch.filter(|epoch| *epoch < MAX_EPOCH)
}

/// The record of a task from [`FIELDS`].
pub(crate) fn record(id: TaskId, fields: Fields) -> Result<Record, Unreadable> {
    let schema = fields.last().and_then(Option::as_deref);
    let schema = schema.map_or(Some(SCHEMA), |text| str::from_utf8(text).ok()?.parse().ok());
    match schema {
        Some(schema) if schema > SCHEMA => return Err(Unreadable::Newer(schema)),
        Some(_) => {}
        None => return Err(Unreadable::Field("schema")),
    }
    let mut named = FIELDS.iter().zip(fields);
    let mut next = || match named.next() {
        Some((name, Some(value))) => String::from_utf8(value).map_err(|_| Unreadable::Field(name)),
        Some((_, None)) | None => Ok(String::new()),
    };
    let (route, token, polled_at, timeouts) = (next()?, next()?, next()?, next()?);
    let (published, begun, heard) = (next()?, next()?, next()?);
    let (durable, failed_deliveries, has_outcome) = (next()?, next()?, next()?);
    let (activity, source) = (next()?, next()?);
    // Timeouts that another version wrote in another form are unknown.
    let stored: StoredTimeouts = serde_json::from_str(&timeouts).unwrap_or_default();
    Ok(Record {
        id,
        route,
        token: TaskToken::new(&token).ok_or(Unreadable::Field("token"))?,
        source: codec::source(&source)?,
        activity: activity.into(),
        polled_at: at(&polled_at).ok_or(Unreadable::Field("polled_at"))?,
        timeouts: Timeouts {
            heartbeat: stored.heartbeat.into(),
            start_to_close: stored.start_to_close.into(),
        },
        published: published == "1",
        begun: begun == "1",
        heard: at(&heard),
        durable: durable != "0",
        failed_deliveries: failed_deliveries.parse().unwrap_or(0),
        has_outcome: has_outcome == "1",
    })
}

/// The time from the text that [`moment`] made.
pub(crate) fn at(text: &str) -> Option<SystemTime> {
    text.parse().ok().map(codec::at)
}

/// A time as the text of a field; empty if it is unknown.
pub(crate) fn moment(at: Option<SystemTime>) -> String {
    at.map(|at| unix_millis(at).to_string()).unwrap_or_default()
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
