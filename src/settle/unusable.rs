//! The log lines about replies that can't be used. Anybody who can publish replies causes them, so they are limited.

use crate::{context::Bridge, util::log_tally::Tally};
use std::sync::Arc;
use tokio::time::sleep_until;
use tracing::warn;

/// Writes a line about a reply that can't be used, at most one in an interval for each reason. `line` gets the number of those
/// that were left out before, if there are any. Those that are left out are counted at the end of the interval.
pub(super) fn log(bridge: &Arc<Bridge>, reason: &'static str, line: impl FnOnce(Option<u64>)) {
    match bridge.unusable.note(reason) {
        Tally::Write(left_out) => line((left_out > 0).then_some(left_out)),
        Tally::LeaveOut => {}
        Tally::First(end) => {
            let supervisor = &bridge.supervisor;
            let bridge = Arc::clone(bridge);
            supervisor.spawn("a count of log lines", async move {
                sleep_until(end).await;
                if let Some(left_out) = bridge.unusable.take(reason) {
                    warn!(reason, left_out, "more replies of this kind were parked");
                }
            });
        }
    }
}
