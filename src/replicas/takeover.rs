//! Taking over the tasks of processes that died.

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

/// How often a process looks for the tasks of dead ones.
const ADOPT_INTERVAL: Duration = Duration::from_millis(250);

/// Until the process shuts down, and leaves its own tasks to the others.
pub(super) async fn adopt(bridge: &Arc<Bridge>, phase: watch::Receiver<Phase>) {
    let mut tick = interval(ADOPT_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while phase.borrow().polls() {
        tick.tick().await;
        crash_point(CrashPoint::TakeoverLoop);
        let mut unpublished = Unpublished::new();
        if let Err(error) = recovery::adopt(bridge, &mut unpublished).await {
            debug!(%error, "could not look for tasks of dead processes");
        }
        if !unpublished.is_empty() {
            let supervisor = &bridge.supervisor;
            let bridge = Arc::clone(bridge);
            supervisor.spawn("the recovery of a dead process's tasks", async move {
                recovery::republish(&bridge, unpublished).await;
            });
        }
    }
}
