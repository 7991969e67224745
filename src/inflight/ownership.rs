//! Whether the tasks in flight are still this process's.

use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// Whether the tasks of this process are still its own, as of a moment ago.
///
/// A process that was frozen may have lost them meanwhile, and should not heartbeat before it knows.
#[derive(Debug)]
pub struct OwnershipCheck(watch::Sender<Option<Instant>>);

impl Default for OwnershipCheck {
    fn default() -> Self {
        Self(watch::channel(None).0)
    }
}

impl OwnershipCheck {
    /// What was known so long ago is not certain.
    const STALE: Duration = Duration::from_secs(3);

    /// It was looked.
    pub(crate) fn verify(&self) {
        self.0.send_replace(Some(Instant::now()));
    }

    /// Waits until it was looked lately. Where nobody shares the store, that is at once.
    pub async fn wait(&self) {
        let certain = |at: &Option<Instant>| at.is_none_or(|at| at.elapsed() < Self::STALE);
        let mut verify = self.0.subscribe();
        drop(timeout(Self::STALE, verify.wait_for(certain)).await);
    }
}
