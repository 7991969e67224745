//! An activity task as a source handed it out.

use super::{header::HeaderValue, id::TaskId, input::Input, timeouts::Timeouts, token::TaskToken};
use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A task as a source handed it out: all that is needed to publish it, and the token.
#[derive(Debug)]
pub struct Task {
    /// Ours.
    pub id: TaskId,
    /// AWS's.
    pub token: TaskToken,
    /// The name of the activity type, or of the activity.
    pub activity: String,
    /// The input; empty where there is none.
    pub input: Input,
    /// What the source tells of the task, by the header names of the worker protocol.
    pub headers: Vec<(Cow<'static, str>, HeaderValue)>,
    /// When the poll that brought it was answered.
    pub polled_at: SystemTime,
    /// What is known of its timeouts.
    pub timeouts: Timeouts,
}

impl Task {
    /// When AWS gives up on it, as far as that is known.
    #[must_use]
    pub fn likely_deadline(&self) -> Option<SystemTime> {
        let limit = self.timeouts.start_to_close.limit()?;
        self.polled_at.checked_add(limit)
    }

    /// When AWS gives up on it, where that is certain.
    #[must_use]
    pub fn deadline(&self) -> Option<SystemTime> {
        let limit = self.timeouts.start_to_close.certain()?;
        self.polled_at.checked_add(limit)
    }

    /// What the source tells of the task under this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        let mut headers = self.headers.iter();
        headers.find_map(|(header, value)| (*header == name).then_some(value))
    }
}

/// Milliseconds since 1970, as headers carry times; 0 for a clock that is before that.
#[must_use]
pub fn unix_millis(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
