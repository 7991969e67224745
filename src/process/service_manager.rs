//! The service manager, such as systemd: it hears when the process has started, that it is alive, and when it shuts down.
//!
//! It says by the environment what it wants to hear: `NOTIFY_SOCKET`, `WATCHDOG_USEC`. Without them nothing is sent.

use crate::util::supervise::Supervisor;
use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// Number of signs of life within the time after which the service manager takes the process for dead.
const SIGNS_IN_TIMEOUT: u32 = 3;

/// Minimum interval between two signs of life.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Says that the process has started and, from now on, that it is alive.
pub fn started(supervisor: &Supervisor) {
    send(NotifyState::Ready);
    if let Some(timeout) = sd_notify::watchdog_enabled() {
        supervisor.spawn_loop(
            "the signs of life for the service manager",
            watchdog(timeout),
        );
    }
}

/// Says that the process shuts down.
pub fn stopping() {
    send(NotifyState::Stopping);
}

/// Says that the process is alive, for as long as it is. All loops share one thread with this one. If something blocks the
/// thread, no sign of life is sent, and the service manager starts another process after this timeout.
async fn watchdog(timeout: Duration) {
    let mut ticks = interval((timeout / SIGNS_IN_TIMEOUT).max(MIN_INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        send(NotifyState::Watchdog);
    }
}

fn send(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "the service manager could not be told");
    }
}
