//! Settles a restored task whose outcome is in the store. Its message is not published again.

use super::outcome;
use crate::{
    context::Bridge,
    task::{Outcome, OwnFailure, TaskId},
    util::Backoff,
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tracing::{debug, error};

/// Begins the settlement of a task that was entered as [`Restored::ToSettle`](crate::inflight::Restored::ToSettle).
pub fn resume(bridge: &Arc<Bridge>, id: TaskId) {
    let supervisor = bridge.supervisor.clone();
    supervisor.spawn("a settlement", settle_kept(Arc::clone(bridge), id));
}

async fn settle_kept(bridge: Arc<Bridge>, id: TaskId) {
    let Some(handle) = bridge.inflight.restored(id) else {
        return;
    };
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let outcome = loop {
        match bridge.store.kept_outcome(id).await {
            Ok(outcome) => break outcome,
            Err(error) => {
                debug!(task = %id, %error, "could not read an outcome; trying again");
                sleep(backoff.next_wait()).await;
            }
        }
    };
    let outcome = outcome.unwrap_or_else(|| {
        let reason = "activity-bridge was shut down before AWS took the outcome, and the token store has lost it";
        error!(route = handle.route.name(), task = %id, "{reason}; failing it back to AWS");
        Outcome::failed(OwnFailure::ShutDown, reason)
    });
    outcome::settle(bridge, handle, outcome).await;
}
