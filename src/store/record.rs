//! What is kept of a task in flight.

use crate::task::{TaskId, TaskToken, Timeouts};
use std::time::SystemTime;

/// What is kept of a task in flight. What only its message needs is kept beside it, until the broker has that.
#[derive(Clone, Debug)]
pub struct Record {
    /// Ours.
    pub id: TaskId,
    /// The name of the route that polled it.
    pub route: String,
    /// AWS's.
    pub token: TaskToken,
    /// When the poll that brought it was answered.
    pub polled_at: SystemTime,
    /// What is known of its timeouts.
    pub timeouts: Timeouts,
    /// Whether the broker has confirmed its message. If not, [`Store::message`] has what is to be published.
    pub published: bool,
    /// Whether a worker has said that it works on it.
    pub begun: bool,
    /// When AWS last took a heartbeat for it; `None` where the store does not know.
    pub heard: Option<SystemTime>,
}

/// What may be noted of a task in flight. A note that is lost costs little, so nobody waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A worker says that it works on the task.
    Begun,
    /// AWS took a heartbeat. Only noted where others read the store.
    Heard(SystemTime),
    /// AWS wants the task canceled. Likewise.
    CancelRequested,
}
