//! The loop that renews this process's lease and applies what other processes did.
//!
//! All processes read the same reply queue, so most replies come to a process that does not own the task. If a reply ends
//! the task, that process claims the task and settles it. A sign of life is forwarded to the owner. Here the
//! owner learns of both: it releases a claimed task, and applies a forwarded sign of life.
//!
//! After a lapse of the lease, this process asks the store for each of its tasks who owns it.

use super::takeover::adopt;
use crate::{
    context::Bridge,
    inflight::Standing,
    metrics::ReplyKind,
    phase::Phase,
    store::{Ownership, PeerEvent, RENEW_INTERVAL, Shared},
    task::TaskId,
    util::{
        crash_point::{CrashPoint, crash_point},
        supervise::catch,
    },
};
use futures_util::future;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tracing::{debug, warn};

/// Time without a renewal after which a process may be dead. It is longer than the time in [`Shared::is_anyone_silent`].
const SILENT_PEER_TIMEOUT: Duration = Duration::from_millis(1_200);

/// Maximum time for which the workers of this process's tasks are presumed to be alive while the store is unavailable. Their
/// signs of life may come to other processes, which can't forward them then.
const PRESUME_ALIVE_LIMIT: Duration = Duration::from_secs(600);

/// Interval at which workers are presumed to be alive.
const PRESUME_ALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// Maximum concurrent questions for the owner of a task after a lapse.
const MAX_CONCURRENT_REASSERTS: usize = 500;

/// Renews the lease and adopts the tasks of dead processes. It returns at once if the store is not shared.
pub async fn run(bridge: Arc<Bridge>, phase: watch::Receiver<Phase>) {
    let Some(shared) = bridge.store.shared() else {
        return;
    };
    tokio::join!(renew_and_apply(&bridge, shared), adopt(&bridge, phase));
}

/// Waits at the start until every other process is known to be alive or dead. After a kill and a restart, the killed process is
/// such another process, and its tasks can be adopted afterwards.
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
    let mut unverified = Vec::new();
    let (mut unavailable_since, mut presumed) = (None, Instant::now());
    let mut tick = interval(RENEW_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        crash_point(CrashPoint::LeaseLoop);
        match shared.renew().await {
            Ok(renewal) => {
                if renewal.lapsed {
                    unverified = bridge.inflight.ids();
                    warn!(
                        tasks = unverified.len(),
                        "the lease on the tasks ran out; asking which tasks this process still owns"
                    );
                }
                for event in renewal.events {
                    apply(bridge, event);
                }
                let before = unverified.len();
                reconcile(bridge, shared, &mut unverified).await;
                if unverified.is_empty() {
                    bridge.ownership.verify();
                } else if unverified.len() < before {
                    tick.reset_immediately();
                }
                unavailable_since = None;
            }
            Err(error) => {
                // `/readyz` shows the error, and polling stops. Tasks in flight go on from memory.
                debug!(%error, "could not renew the lease");
                bridge.ownership.verify();
                let unavailable = unavailable_since.get_or_insert_with(Instant::now).elapsed();
                if (PRESUME_ALIVE_INTERVAL..PRESUME_ALIVE_LIMIT).contains(&unavailable)
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
        PeerEvent::Taken(id) => release(bridge, id),
        PeerEvent::QueueLost {
            queue,
            missing_at,
            ready,
        } => bridge.lost_queues.hear(queue, missing_at, ready),
        PeerEvent::Sign { id, details } => {
            if let Standing::Open(route) = bridge.inflight.standing(id) {
                route.metrics.replied(ReplyKind::Alive);
                // A worker wrote them. A panic over them would end the next owner too.
                let details = catch(|| route.source.fit_details(&details)).unwrap_or_default();
                bridge.inflight.on_sign(id, details);
            }
        }
    }
}

/// Drops a task that this process does not own any more. Its message must reach no worker from here.
fn release(bridge: &Bridge, id: TaskId) {
    if bridge.inflight.release(id) {
        let broker = Arc::clone(&bridge.broker);
        let withdrawing = async move { broker.taken_over(id).await };
        bridge.supervisor.spawn("a withdrawal", withdrawing);
    }
}

/// Asks for the owners of some of the tasks that are not verified since a lapse, and releases those of other owners.
async fn reconcile(bridge: &Bridge, shared: &dyn Shared, unverified: &mut Vec<TaskId>) {
    let some = unverified.split_off(unverified.len().saturating_sub(MAX_CONCURRENT_REASSERTS));
    let asked = some.into_iter().map(|id| async move {
        let record = bridge.inflight.record(id, bridge.broker.durability())?;
        Some((id, shared.reassert(&record).await))
    });
    let mut failed = Vec::new();
    for (id, ownership) in future::join_all(asked).await.into_iter().flatten() {
        match ownership {
            Ok(Ownership::Ours) => {}
            Ok(Ownership::Theirs) => release(bridge, id),
            Ok(Ownership::Ended) => {
                release(bridge, id);
                bridge.inflight.remember_ended([id]);
            }
            Err(error) => {
                debug!(task = %id, %error, "could not ask who owns a task; trying again");
                failed.push(id);
            }
        }
    }
    // The failed ones are tried again after all others.
    unverified.splice(0..0, failed);
}
