//! Outcomes that AWS has not taken: puts them into the store, so that the next process settles them.
//!
//! A durable broker keeps the reply until AWS has the outcome. Another broker keeps nothing, so the store keeps the outcome. It also keeps
//! what a person said, because no reply stands behind that. Most outcomes are settled within milliseconds. Only one that takes longer
//! is written, and at a shutdown all are.

use crate::{
    broker::Durability,
    context::Bridge,
    store::{Lifetime, StoreError},
    task::{Outcome, OwnFailure, TaskId},
    util::Backoff,
};
use futures_util::{StreamExt, stream};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tracing::debug;

/// Time after which an outcome that AWS has not taken is written to the store.
const KEEP_AFTER: Duration = Duration::from_secs(1);

/// Timeout for writing all outcomes at a shutdown.
const KEEP_ALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum concurrent writes at a shutdown.
const MAX_CONCURRENT_WRITES: usize = 100;

/// Holds an outcome that is about to be sent to AWS, if it may have to be kept. True if it is held.
pub(super) fn hold(bridge: &Bridge, id: TaskId, outcome: &Outcome) -> bool {
    let lasts = bridge.store.lifetime() != Lifetime::Process;
    let forgets = bridge.broker.durability() == Durability::Process || is_of_a_person(outcome);
    lasts && forgets && (bridge.inflight).hold_outcome(id, Arc::new(outcome.clone()))
}

fn is_of_a_person(outcome: &Outcome) -> bool {
    let own = Some(OwnFailure::FailedByOperator);
    matches!(outcome, Outcome::Failed { own: said, .. } if *said == own)
}

/// Awaits the settlement of a task. If that takes long and the outcome is held, the outcome is kept meanwhile.
pub(super) async fn settle_or_keep<T>(
    bridge: &Bridge,
    id: TaskId,
    held: bool,
    settling: impl Future<Output = T>,
) -> T {
    if !held {
        return settling.await;
    }
    tokio::pin!(settling);
    if let Ok(settled) = timeout(KEEP_AFTER, &mut settling).await {
        return settled;
    }
    tokio::select! {
        settled = &mut settling => return settled,
        () = keep_until_kept(bridge, id) => {}
    }
    settling.await
}

/// Keeps the outcomes of all tasks that are being settled, as far as there is time. The others stay unkept.
pub async fn keep_all(bridge: &Bridge) {
    let keeping = stream::iter(bridge.inflight.unkept());
    let keeping = keeping.for_each_concurrent(MAX_CONCURRENT_WRITES, async |id| {
        if let Err(error) = keep(bridge, id).await {
            debug!(task = %id, %error, "could not keep an outcome");
        }
    });
    drop(timeout(KEEP_ALL_TIMEOUT, keeping).await);
}

async fn keep_until_kept(bridge: &Bridge, id: TaskId) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    while let Err(error) = keep(bridge, id).await {
        debug!(task = %id, %error, "could not keep an outcome; trying again");
        sleep(backoff.next_wait()).await;
    }
}

async fn keep(bridge: &Bridge, id: TaskId) -> Result<(), StoreError> {
    if let Some(outcome) = bridge.inflight.unkept_outcome(id) {
        bridge.store.keep_outcome(id, &outcome).await?;
        bridge.inflight.on_outcome_kept(id);
        debug!(task = %id, "AWS has not taken an outcome yet; the token store keeps it");
    }
    Ok(())
}
