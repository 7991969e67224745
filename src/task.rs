//! What a task is made of: its id, its token, what the source said of it, and how it can end.
//!
//! Plain data. Nothing here talks to the network.

use crate::input::Input;
use std::{
    borrow::Cow,
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The bridge's own name for a task: 128 random bits, written as 32 hexadecimal digits.
///
/// It is what workers see (`message_id`, `correlation_id`), because an AWS token is too long for
/// either (255 bytes) and would let any reader of the queue settle the task.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u128);

impl TaskId {
    /// A new id from the thread's cryptographic generator, so that nobody can guess one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl From<u128> for TaskId {
    fn from(bits: u128) -> Self {
        Self(bits)
    }
}

impl From<TaskId> for u128 {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a task id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task id is 32 lower-case hexadecimal digits")]
pub struct NotATaskId;

impl FromStr for TaskId {
    type Err = NotATaskId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits =
            text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !digits {
            return Err(NotATaskId);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| NotATaskId)
    }
}

/// The opaque token by which AWS knows the task: at most 1,024 characters on SWF, 2,048 on Step Functions.
///
/// Whoever holds it can end the task, so `Debug` never shows it.
#[derive(Clone)]
pub struct TaskToken(Arc<str>);

impl TaskToken {
    /// Wraps a token, or `None` where it is empty: a poll found nothing.
    #[must_use]
    pub fn new(token: &str) -> Option<Self> {
        (!token.is_empty()).then(|| Self(token.into()))
    }

    /// The token itself, for a call to AWS and for nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskToken({} characters)", self.0.len())
    }
}

/// A header's value. Every AMQP client reads these two kinds alike; of the others, none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// A long string.
    Text(String),
    /// A signed 64-bit integer.
    Integer(i64),
}

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

/// The timeouts of a task that matter to the bridge. A poll's answer tells none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// How long AWS waits for a heartbeat.
    pub heartbeat: Timeout,
    /// How long AWS waits for the outcome, from the poll's answer on.
    pub start_to_close: Timeout,
}

/// What is known of one timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timeout {
    /// Nothing.
    #[default]
    Unknown,
    /// There is none: SWF's `NONE`.
    Never,
    /// This long, unless the task was scheduled with another: the default of its activity type.
    Usually(Duration),
    /// This long.
    After(Duration),
}

impl Timeout {
    /// Its length, as far as it is known and has one.
    #[must_use]
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::After(limit) | Self::Usually(limit) => Some(limit),
            Self::Never | Self::Unknown => None,
        }
    }

    /// Its length, where that is certain.
    #[must_use]
    pub fn certain(self) -> Option<Duration> {
        match self {
            Self::After(limit) => Some(limit),
            Self::Usually(_) | Self::Never | Self::Unknown => None,
        }
    }

    /// The same, as the default of an activity type. That there is none is no default: who declares none leaves it to
    /// whoever schedules.
    #[must_use]
    pub fn usual(self) -> Self {
        match self {
            Self::After(limit) | Self::Usually(limit) => Self::Usually(limit),
            Self::Never | Self::Unknown => Self::Unknown,
        }
    }

    /// This, or the other where nothing is known of this.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match self {
            Self::Unknown => other,
            Self::Never | Self::Usually(_) | Self::After(_) => self,
        }
    }
}

impl From<Option<Duration>> for Timeout {
    fn from(limit: Option<Duration>) -> Self {
        limit.map_or(Self::Unknown, Self::After)
    }
}

/// How a task ends, in the words of SWF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The worker is done.
    Completed {
        /// What it found; empty for nothing.
        result: String,
    },
    /// The worker, or the bridge on its behalf, failed.
    Failed {
        /// What the bridge gave up for; `None` where the failure is the worker's.
        own: Option<OwnFailure>,
        /// A short reason, the thing a workflow branches on.
        reason: String,
        /// The long story; may be empty.
        details: String,
    },
    /// The worker stopped because it was asked to.
    Canceled {
        /// What it wants to say about it; may be empty.
        details: String,
    },
}

impl Outcome {
    /// A failure that the bridge itself reports.
    pub fn failed(own: OwnFailure, reason: impl Into<String>) -> Self {
        Self::failed_with(own, reason, "")
    }

    /// The same, with the long story.
    pub fn failed_with(
        own: OwnFailure,
        reason: impl Into<String>,
        details: impl Into<String>,
    ) -> Self {
        Self::Failed {
            own: Some(own),
            reason: reason.into(),
            details: details.into(),
        }
    }

    /// The label for metrics and logs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Canceled { .. } => "canceled",
        }
    }
}

/// Why the bridge itself fails a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnFailure {
    /// It could not be brought to a queue.
    Undelivered,
    /// No worker started it in the time that the route allows.
    NotStarted,
    /// The queue gave it up: rejected, expired, delivered too often, dropped.
    DeadLetter,
    /// The reply that should have ended it can't be used.
    UnusableReply,
    /// AWS would not take the outcome that it had.
    OutcomeRefused,
    /// The bridge ended before a worker replied.
    ShutDown,
}

impl OwnFailure {
    /// The name, for workflows that tell failures apart by name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Undelivered => "ActivityBridge.Undelivered",
            Self::NotStarted => "ActivityBridge.NotStarted",
            Self::DeadLetter => "ActivityBridge.DeadLetter",
            Self::UnusableReply => "ActivityBridge.UnusableReply",
            Self::OutcomeRefused => "ActivityBridge.OutcomeRefused",
            Self::ShutDown => "ActivityBridge.ShutDown",
        }
    }
}

/// Milliseconds since 1970, as headers carry times; 0 for a clock that is before that.
#[must_use]
pub fn unix_millis(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_written() {
        let id = TaskId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(TaskId(7).to_string().len(), 32);
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in ["", "7", &"g".repeat(32), &"A".repeat(32), &"+".repeat(32)] {
            assert_eq!(text.parse::<TaskId>(), Err(NotATaskId), "{text}");
        }
    }

    #[test]
    fn a_token_never_shows_in_debug() {
        let token = TaskToken::new("very-secret").expect("not empty");
        assert!(!format!("{token:?}").contains("secret"));
        assert!(TaskToken::new("").is_none());
    }
}
