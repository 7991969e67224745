//! The open polls of a route, and how the last ones ended.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tokio::sync::watch;

/// See the module.
#[derive(Debug, Default)]
pub struct OpenPolls {
    open: watch::Sender<usize>,
    tasks_brought: AtomicU64,
    failing: AtomicBool,
}

/// The number of open polls, as the poller counts them. When this is dropped, the number is zero.
#[derive(Debug)]
pub struct OpenPollCount<'p>(&'p OpenPolls);

impl OpenPolls {
    /// Begins to count, at zero.
    #[must_use]
    pub fn count(&self) -> OpenPollCount<'_> {
        OpenPollCount(self)
    }

    /// The number of open polls.
    #[must_use]
    pub fn number(&self) -> usize {
        *self.open.borrow()
    }

    /// Waits until no poll is open.
    pub async fn all_ended(&self) {
        let mut open = self.open.subscribe();
        // An error would mean that the sender is dropped, but `self` holds it.
        drop(open.wait_for(|open| *open == 0).await);
    }

    /// Notes that a poll has brought a task.
    pub fn brought_task(&self) {
        self.tasks_brought.fetch_add(1, Relaxed);
        self.failing.store(false, Relaxed);
    }

    /// Notes that a poll has ended without a task. `failed`: it was not answered as a poll should be.
    pub fn brought_nothing(&self, failed: bool) {
        self.failing.store(failed, Relaxed);
    }

    /// The number of tasks that polls have brought since the start.
    #[must_use]
    pub fn tasks_brought(&self) -> u64 {
        self.tasks_brought.load(Relaxed)
    }

    /// Whether the last poll failed.
    #[must_use]
    pub fn are_failing(&self) -> bool {
        self.failing.load(Relaxed)
    }
}

impl OpenPollCount<'_> {
    /// Sets the number.
    pub fn set(&self, number: usize) {
        self.0.open.send_if_modified(|open| {
            let changed = *open != number;
            *open = number;
            changed
        });
    }
}

impl Drop for OpenPollCount<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}
