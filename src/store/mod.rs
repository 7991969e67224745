//! The token store: what of a task outlives the moment it was polled.
//!
//! A record is in the store before the task's message is published, and leaves it after the task is settled
//! and its reply acknowledged. What a crash costs is what the chosen store forgets.

mod memory;

pub use memory::MemoryStore;

use crate::task::{Task, TaskId};
use async_trait::async_trait;

/// Why the store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, or its disk can't be written. Worth another try.
    #[error("the token store is not available: {0}")]
    Unavailable(String),
}

/// A place that remembers the tasks in flight.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Records a task that was polled. When this returns, the record is as durable as the store can make it.
    async fn insert(&self, route: &str, task: &Task) -> Result<(), StoreError>;

    /// Notes that the broker has confirmed the task's message: it need not be published again.
    async fn confirmed(&self, id: TaskId) -> Result<(), StoreError>;

    /// Forgets a task that has ended. Forgetting one that is not there is no error.
    async fn remove(&self, id: TaskId) -> Result<(), StoreError>;

    /// How many records there are.
    async fn count(&self) -> Result<usize, StoreError>;

    /// Whether records outlive the process. If not, shutting down must give back what is still open.
    fn outlives_process(&self) -> bool;
}
