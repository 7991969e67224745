//! The messages that the bridge sends.

use super::destination::Destination;
use crate::task::{HeaderValue, Status, TaskId};

/// A task's message, as the worker protocol says. It borrows everything.
#[derive(Debug)]
pub struct TaskMessage<'a> {
    /// The task.
    pub id: TaskId,
    /// Where it goes.
    pub destination: &'a Destination,
    /// The queue's name, or the routing key; at most 255 bytes.
    pub routing_key: &'a str,
    /// As it is.
    pub body: &'a [u8],
    /// The MIME type of the body.
    pub content_type: &'static str,
    /// The name of the activity type, or of the activity.
    pub activity: &'a str,
    /// When the task was polled, in seconds since 1970.
    pub timestamp_secs: Option<u64>,
    /// How long it may wait for a worker, in milliseconds.
    pub expiration_ms: Option<u64>,
    /// Its priority, for queues that have them.
    pub priority: Option<u8>,
    /// Application headers.
    pub headers: Vec<(&'a str, &'a HeaderValue)>,
}

/// A message that can't be used, or an outcome that AWS will not take.
#[derive(Debug, Default)]
pub struct ParkedMessage<'a> {
    /// As it is.
    pub body: &'a [u8],
    /// The MIME type that the worker gave.
    pub content_type: Option<&'a str>,
    /// The id of the task that it is about.
    pub correlation_id: Option<&'a str>,
    /// What it says it is.
    pub kind: Option<&'a str>,
    /// Where the worker wanted an answer.
    pub reply_to: Option<&'a str>,
    /// Application headers; all together at most 65,536 bytes.
    pub headers: Vec<(&'a str, &'a HeaderValue)>,
}

/// What workers are told without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// AWS wants the task canceled.
    CancelRequested,
    /// Nobody waits for the task any more.
    Gone,
}

impl Announcement {
    /// What there is to tell of a task that fares like this.
    #[must_use]
    pub fn of(status: Status) -> Option<Self> {
        match status {
            Status::Alive => None,
            Status::CancelRequested => Some(Self::CancelRequested),
            Status::Gone => Some(Self::Gone),
        }
    }

    /// The value of the header `reason`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::CancelRequested => Status::CancelRequested.label(),
            Self::Gone => Status::Gone.label(),
        }
    }
}
