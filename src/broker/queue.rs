//! A queue of tasks.

/// A queue of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// Its name.
    pub name: String,
    /// Declare it with these arguments. Without them it is only checked that the queue is there.
    pub declare: Option<QueueArguments>,
}

impl QueueSpec {
    /// A queue that is taken as it is.
    #[must_use]
    pub fn as_it_is(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            declare: None,
        }
    }
}

/// What a queue is declared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueArguments {
    /// Whether what it can't hand to a worker comes back, at least once.
    pub dead_letters: bool,
    /// How often a message may go back into the queue; `None` for no limit.
    pub delivery_limit: Option<u64>,
}
