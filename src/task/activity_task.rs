//! An activity task as a source hands it out.

use super::{header::HeaderValue, id::TaskId, input::Input, timeouts::Timeouts, token::TaskToken};
use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A task as a source hands it out: everything that is needed to publish it, and its token.
#[derive(Clone, Debug)]
pub struct Task {
    /// The bridge's id of the task.
    pub id: TaskId,
    /// AWS's token of the task.
    pub token: TaskToken,
    /// The name of the activity type (SWF) or of the activity (Step Functions).
    pub activity: String,
    /// The input; empty if there is none.
    pub input: Input,
    /// What the source says of the task, by the header names of the worker protocol.
    pub headers: Vec<(Cow<'static, str>, HeaderValue)>,
    /// When AWS answered the poll that brought the task.
    pub polled_at: SystemTime,
    /// The timeouts, as far as they are known.
    pub timeouts: Timeouts,
}

impl Task {
    /// The end of the start-to-close timeout, as far as it is known.
    #[must_use]
    pub fn likely_deadline(&self) -> Option<SystemTime> {
        let limit = self.timeouts.start_to_close.limit()?;
        self.polled_at.checked_add(limit)
    }

    /// The end of the start-to-close timeout, if it is certain.
    #[must_use]
    pub fn deadline(&self) -> Option<SystemTime> {
        let limit = self.timeouts.start_to_close.certain()?;
        self.polled_at.checked_add(limit)
    }

    /// The value of a header that the source gave the task.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        let mut headers = self.headers.iter();
        headers.find_map(|(header, value)| (*header == name).then_some(value))
    }
}

/// A time in milliseconds since 1970, as headers carry it; 0 for a time before 1970.
#[must_use]
pub fn unix_millis(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
