//! The messages that the bridge sends: a task, a parked message, an announcement.

use super::destination::Destination;
use crate::task::{HeaderValue, Status, TaskId};

/// A task's message, as the worker protocol defines it. It borrows all its parts.
#[derive(Debug)]
pub struct TaskMessage<'a> {
    /// The task's id.
    pub id: TaskId,
    /// Where the message goes.
    pub destination: &'a Destination,
    /// The queue's name, or the routing key for the exchange; at most 255 bytes.
    pub routing_key: &'a str,
    /// As it is.
    pub body: &'a [u8],
    /// The MIME type of the body.
    pub content_type: &'static str,
    /// The name of the activity type, or of the activity.
    pub activity: &'a str,
    /// When the task was polled, in seconds since 1970.
    pub timestamp_secs: Option<u64>,
    /// How long the message may wait for a worker, in milliseconds.
    pub expiration_ms: Option<u64>,
    /// The priority, for queues with priorities.
    pub priority: Option<u8>,
    /// Application headers.
    pub headers: Vec<(&'a str, &'a HeaderValue)>,
    /// Whether a worker may have had the task before this process published it. Only a broker of
    /// [`Durability::Process`](super::Durability::Process) needs this.
    pub redelivered: bool,
    /// The number of failed deliveries before this process published the task; 0 for a task fresh from a poll.
    pub failed_deliveries: u32,
}

/// A message that can't be used, or an outcome that AWS does not accept.
#[derive(Debug, Default)]
pub struct ParkedMessage<'a> {
    /// As it is.
    pub body: &'a [u8],
    /// The MIME type that the worker set.
    pub content_type: Option<&'a str>,
    /// The task's id, as the worker sent it.
    pub correlation_id: Option<&'a str>,
    /// The property `type`.
    pub kind: Option<&'a str>,
    /// Where the worker wanted the answer.
    pub reply_to: Option<&'a str>,
    /// Application headers; at most 65,536 bytes in all.
    pub headers: Vec<(&'a str, &'a HeaderValue)>,
    /// What the bridge itself says of it when it is parked, beside the reason; at most 33,000 bytes in all.
    pub own_headers: Vec<(&'static str, HeaderValue)>,
}

/// What the bridge tells a worker that did not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// AWS requests a cancel of the task.
    CancelRequested,
    /// The task has ended at AWS; its result is of no more use.
    Gone,
}

impl Announcement {
    /// The announcement for a task with this status, if there is one.
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
