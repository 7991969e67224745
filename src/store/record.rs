//! The record of a task in flight, and notes about it.

use crate::task::{TaskId, TaskToken, Timeouts};
use std::time::SystemTime;

/// The record of a task in flight. What only the message needs is stored beside it until the broker has confirmed the
/// message.
#[derive(Clone, Debug)]
pub struct Record {
    /// The bridge's id of the task.
    pub id: TaskId,
    /// The name of the route that polled it.
    pub route: String,
    /// AWS's token of the task.
    pub token: TaskToken,
    /// When AWS answered the poll that brought the task.
    pub polled_at: SystemTime,
    /// The timeouts, as far as they are known.
    pub timeouts: Timeouts,
    /// Whether the broker has confirmed the message. If not, [`Store::message`] returns what is to be published.
    pub published: bool,
    /// Whether a worker has said that it works on the task.
    pub begun: bool,
    /// When AWS last accepted a heartbeat for the task; `None` if the store does not know.
    pub heard: Option<SystemTime>,
}

/// A note about a task in flight. A lost note costs little, so nobody waits until it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A worker has said that it works on the task.
    Begun,
    /// AWS accepted a heartbeat. Only a shared store keeps this note.
    Heard(SystemTime),
    /// AWS requests a cancel. Only a shared store keeps this note.
    CancelRequested,
}
