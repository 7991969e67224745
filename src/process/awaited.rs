//! What a drain and a shutdown wait for.

use crate::{context::Bridge, phase::Phase};
use std::time::Duration;
use tracing::info;

/// Interval between two log lines about what is awaited.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Waits until no poll is open.
pub(super) async fn no_open_polls(bridge: &Bridge) {
    for route in bridge.routes.all().iter() {
        route.open_polls.all_ended().await;
    }
}

/// Waits until every open poll has ended and every task is settled. Logs every few seconds how many are left.
pub(super) async fn free_slots(bridge: &Bridge, phase: Phase) {
    let free = async {
        for route in bridge.routes.all().iter() {
            route.slots.all_free().await;
        }
    };
    tokio::pin!(free);
    let mut log_tick = tokio::time::interval(LOG_INTERVAL);
    log_tick.tick().await;
    loop {
        tokio::select! {
            () = &mut free => return,
            _ = log_tick.tick() => {
                let in_flight = bridge.inflight.len();
                info!(in_flight, phase = phase.name(), "waiting for the tasks in flight");
            }
        }
    }
}
