//! How a task fares, in the word that workers are told.

/// How a task fares, as far as the bridge knows: what a worker is told when it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// AWS waits for its outcome.
    Alive,
    /// AWS wants it canceled.
    CancelRequested,
    /// Nobody waits for it.
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
