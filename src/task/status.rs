//! The status of a task, as workers are told.

/// The status of a task as far as the bridge knows. It is the answer to a worker's heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// AWS waits for the outcome of the task.
    Alive,
    /// AWS requests the cancellation of the task.
    CancelRequested,
    /// Nobody waits for the outcome any more.
    Gone,
}

impl Status {
    /// The value of the header `status`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::CancelRequested => "cancel-requested",
            Self::Gone => "gone",
        }
    }
}
