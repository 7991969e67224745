//! How a task is written in the fields of its hash.

use crate::{
    store::{
        Record, StoreError,
        codec::{self, StoredTimeout},
    },
    task::{Task, TaskId, TaskToken, Timeouts, unix_millis},
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// The fields of a record, in the order in which [`record`] reads them.
pub(crate) const FIELDS: [&str; 7] = [
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
pub(crate) fn kept_for(timeouts: Timeouts) -> u64 {
    let lives = timeouts.start_to_close.certain().unwrap_or(LONGEST);
    millis(lives.min(LONGEST) + BEYOND)
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

/// What there is to publish of a task, beyond its record.
pub(crate) fn message(task: &Task) -> Result<Vec<u8>, StoreError> {
    codec::message(task).map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// The task whose record and message these are.
pub(crate) fn task(record: Record, message: &str) -> Result<Task, StoreError> {
    let id = record.id;
    codec::task(record, message.as_bytes()).map_err(|_| unreadable(id, "message"))
}

/// The record of a task from [`FIELDS`].
pub(crate) fn record(id: TaskId, fields: Vec<Option<String>>) -> Result<Record, StoreError> {
    let mut fields = fields.into_iter();
    let mut next = || fields.next().flatten().unwrap_or_default();
    let (route, token, polled_at, timeouts) = (next(), next(), next(), next());
    let (published, begun, heard) = (next(), next(), next());
    // What another version wrote differently is not known here.
    let stored: StoredTimeouts = serde_json::from_str(&timeouts).unwrap_or_default();
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
    text.parse().ok().map(codec::at)
}

/// A moment in the text of a field; an unknown one is empty.
pub(crate) fn moment(at: Option<SystemTime>) -> String {
    at.map(|at| unix_millis(at).to_string()).unwrap_or_default()
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
