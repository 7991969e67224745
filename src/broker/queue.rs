//! How a route's queue is declared, or that it is not.

/// A queue for task messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// The queue's name.
    pub name: String,
    /// The arguments for its declaration. Without them the bridge only checks that the queue exists.
    pub declare: Option<QueueArguments>,
}

impl QueueSpec {
    /// A queue that the bridge does not declare.
    #[must_use]
    pub fn as_it_is(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            declare: None,
        }
    }
}

/// The arguments with which the bridge declares a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueArguments {
    /// Whether its dead letters come back, at least once.
    pub dead_letters: bool,
    /// The delivery limit: how often a message may go back into the queue; `None` for no limit.
    pub delivery_limit: Option<u64>,
}
