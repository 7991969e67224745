//! The loop that adopts the tasks of dead processes.

use crate::{
    context::Bridge,
    intake::recovery::{self, Unpublished},
    phase::Phase,
    util::crash_point::{CrashPoint, crash_point},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::debug;

/// Interval of the search for tasks of dead processes.
const ADOPT_INTERVAL: Duration = Duration::from_millis(250);

/// Adopts the tasks of dead processes, while this process polls. Otherwise the others are to adopt.
pub(super) async fn adopt(bridge: &Arc<Bridge>, mut phase: watch::Receiver<Phase>) {
    let mut tick = interval(ADOPT_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // An error means that the process ends.
        if phase.wait_for(|phase| phase.polls()).await.is_err() {
            return;
        }
        let adopting = bridge.adopting.lock().await;
        // A drain may have begun while the other search went on.
        if !phase.borrow().polls() {
            continue;
        }
        crash_point(CrashPoint::TakeoverLoop);
        let mut unpublished = Unpublished::new();
        if let Err(error) = recovery::adopt(bridge, &mut unpublished).await {
            debug!(%error, "could not look for tasks of dead processes");
        }
        drop(adopting);
        if !unpublished.is_empty() {
            let supervisor = &bridge.supervisor;
            let bridge = Arc::clone(bridge);
            supervisor.spawn("the recovery of a dead process's tasks", async move {
                recovery::republish(&bridge, unpublished).await;
            });
        }
    }
}
