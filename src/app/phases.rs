//! What sets the phase of the process before its shutdown.

use crate::{
    context::Bridge,
    intake::recovery::{self, Unpublished},
    phase::Phase,
    process::{DrainSwitch, RequestedDrain},
    replicas::lease,
};
use std::sync::Arc;
use tokio::sync::watch;

/// Spawns what ends the recovery, and what drains the process and takes that back.
pub(super) fn run_phases(
    bridge: &Arc<Bridge>,
    unpublished: Unpublished,
    phase: &watch::Sender<Phase>,
    switch: &DrainSwitch,
) {
    let (recovered, has_recovered) = watch::channel(false);
    let phases = (phase.clone(), recovered);
    let recovering = recover(Arc::clone(bridge), unpublished, phases);
    bridge.supervisor.spawn("the recovery", recovering);
    let drain = RequestedDrain {
        bridge: Arc::clone(bridge),
        phase: phase.clone(),
        recovered: has_recovered,
        switch: switch.clone(),
    };
    bridge.supervisor.spawn_loop("the drain", drain.run());
}

/// Publishes the unconfirmed tasks again. Then waits for the leases of other processes, adopts the tasks of dead ones,
/// and sets the phase to running.
async fn recover(
    bridge: Arc<Bridge>,
    unpublished: Unpublished,
    (phase, recovered): (watch::Sender<Phase>, watch::Sender<bool>),
) {
    recovery::republish(&bridge, unpublished).await;
    lease::await_peer_leases(&bridge).await;
    let mut later = Unpublished::new();
    let adopting = bridge.adopting.lock().await;
    if phase.borrow().polls() {
        // If that fails, the loop that adopts the tasks of dead processes tries again.
        drop(recovery::adopt(&bridge, &mut later).await);
    }
    drop(adopting);
    recovery::republish(&bridge, later).await;
    recovered.send_replace(true);
    phase.send_if_modified(|phase| {
        let recovered = *phase == Phase::Recovering;
        if recovered {
            *phase = Phase::Running;
        }
        recovered
    });
}
