//! Several processes on one store: which tasks are still this one's, and what to do with a reply to another's.
//!
//! All processes read one queue of replies, so most replies come to a process that does not have the task. One that ends a
//! task brings the task with it: the process claims it, and settles it as its own. A sign of life is handed on to the
//! process that has the task, unless that is dead.

use super::takeover::adopt;
use crate::{
    context::Bridge,
    inflight::Standing,
    metrics::ReplyKind,
    phase::Phase,
    store::{Ownership, PeerEvent, RENEW_INTERVAL, Shared},
    task::TaskId,
};
use futures_util::future;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tracing::{debug, warn};

/// A process that has not renewed its lease for this time may be dead. More than [`Shared::is_anyone_silent`] goes by.
const SILENT_PEER_TIMEOUT: Duration = Duration::from_millis(1_200);

/// While the store is away, other processes hear workers of this one's tasks and can't say so: for so long these workers are
/// taken to be alive, and that is told so often.
const PRESUME_ALIVE_LIMIT: Duration = Duration::from_secs(600);

const PRESUME_ALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// How many tasks are asked after at once when a lease has lapsed.
const MAX_CONCURRENT_REASSERTS: usize = 500;

/// Keeps the lease and follows what others do, and takes on the tasks of those that die; nothing where the store is not
/// shared.
pub async fn run(bridge: Arc<Bridge>, phase: watch::Receiver<Phase>) {
    let Some(shared) = bridge.store.shared() else {
        return;
    };
    tokio::join!(renew_and_apply(&bridge, shared), adopt(&bridge, phase));
}

/// At the start: waits until no process may be dead and is not known to be. A process that was killed and started again was
/// just such a one.
pub async fn await_peer_leases(bridge: &Bridge) {
    let Some(shared) = bridge.store.shared() else {
        return;
    };
    sleep(SILENT_PEER_TIMEOUT).await;
    while !matches!(shared.is_anyone_silent().await, Ok(false)) {
        sleep(RENEW_INTERVAL).await;
    }
}

async fn renew_and_apply(bridge: &Bridge, shared: &dyn Shared) {
    let mut unsure = Vec::new();
    let (mut away_since, mut presumed) = (None, Instant::now());
    let mut tick = interval(RENEW_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match shared.renew().await {
            Ok(renew) => {
                if renew.lapsed {
                    unsure = bridge.inflight.ids();
                    warn!(
                        tasks = unsure.len(),
                        "the lease on the tasks ran out; looking which are still this process's"
                    );
                }
                for event in renew.events {
                    apply(bridge, event);
                }
                let before = unsure.len();
                reconcile(bridge, shared, &mut unsure).await;
                if unsure.is_empty() {
                    bridge.ownership.verify();
                } else if unsure.len() < before {
                    tick.reset_immediately();
                }
                away_since = None;
            }
            Err(error) => {
                // It shows in `/readyz`, and stops the polling. What is in flight goes on from memory.
                debug!(%error, "could not renew the lease");
                bridge.ownership.verify();
                let away = away_since.get_or_insert_with(Instant::now).elapsed();
                if (PRESUME_ALIVE_INTERVAL..PRESUME_ALIVE_LIMIT).contains(&away)
                    && presumed.elapsed() >= PRESUME_ALIVE_INTERVAL
                {
                    presumed = Instant::now();
                    bridge.inflight.presume_alive();
                }
            }
        }
    }
}

fn apply(bridge: &Bridge, event: PeerEvent) {
    match event {
        PeerEvent::Taken(id) => bridge.inflight.release(id),
        PeerEvent::Sign { id, details } => {
            if let Standing::Open(route) = bridge.inflight.standing(id) {
                route.metrics.replied(ReplyKind::Alive);
                let details = route.source.fit_details(&details);
                bridge.inflight.on_sign(id, details);
            }
        }
    }
}

/// After a lapse: asks after some of the tasks of which this process is no longer sure.
async fn reconcile(bridge: &Bridge, shared: &dyn Shared, unsure: &mut Vec<TaskId>) {
    let some = unsure.split_off(unsure.len().saturating_sub(MAX_CONCURRENT_REASSERTS));
    let asked = some.into_iter().map(|id| async move {
        let record = bridge.inflight.record(id)?;
        Some((id, shared.reassert(&record).await))
    });
    let mut failed = Vec::new();
    for (id, kept) in future::join_all(asked).await.into_iter().flatten() {
        match kept {
            Ok(Ownership::Ours) => {}
            Ok(Ownership::Theirs) => bridge.inflight.release(id),
            Ok(Ownership::Ended) => {
                bridge.inflight.release(id);
                bridge.inflight.remember_ended([id]);
            }
            Err(error) => {
                debug!(task = %id, %error, "could not ask whose a task is; trying again");
                failed.push(id);
            }
        }
    }
    // Last, so that the others come first.
    unsure.splice(0..0, failed);
}
