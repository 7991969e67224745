//! A queue of tasks.

/// A queue of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// Its name.
    pub name: String,
    /// Declare it as a durable quorum queue with these arguments, rather than only check that it is there.
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

/// As good as none. RabbitMQ 4 takes 20 where nothing is said, and drops the message then.
pub const NO_DELIVERY_LIMIT: u64 = 1_000_000_000;

/// What a queue is declared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueArguments {
    /// Whether what it can't hand to a worker comes back, at least once, through [`DEAD_LETTERS_EXCHANGE`].
    pub dead_letters: bool,
    /// How often a message may go back into the queue.
    pub delivery_limit: u64,
}

/// What the broker tells of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueFacts {
    /// Messages waiting for a consumer.
    pub ready: u64,
    /// Consumers.
    pub consumers: u64,
}
