//! Whether this process still owns its tasks in flight.

use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// When it was last verified that this process owns its tasks in flight.
///
/// Other processes may have taken tasks over from a process that was frozen. It must not send heartbeats before it knows.
#[derive(Debug)]
pub struct OwnershipCheck(watch::Sender<Option<Instant>>);

impl Default for OwnershipCheck {
    fn default() -> Self {
        Self(watch::channel(None).0)
    }
}

impl OwnershipCheck {
    /// Maximum age of a verification. It is also the timeout for a new one.
    const MAX_AGE: Duration = Duration::from_secs(3);

    /// Notes that the ownership was verified just now.
    pub(crate) fn verify(&self) {
        self.0.send_replace(Some(Instant::now()));
    }

    /// Waits until the ownership was verified lately. Without a shared store it returns at once.
    pub async fn wait(&self) {
        let recent = |at: &Option<Instant>| at.is_none_or(|at| at.elapsed() < Self::MAX_AGE);
        let mut verify = self.0.subscribe();
        drop(timeout(Self::MAX_AGE, verify.wait_for(recent)).await);
    }
}
