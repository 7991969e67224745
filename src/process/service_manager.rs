//! The service manager, such as systemd: it hears when the process has started, that it is alive, and when it shuts down.
//!
//! It says by the environment what it wants to hear: `NOTIFY_SOCKET`, `WATCHDOG_USEC`. Without them nothing is sent.

use crate::util::{
    crash_point::{CrashPoint, crash_point},
    supervise::Supervisor,
};
use sd_notify::NotifyState;
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::warn;

/// Maximum wait for the end of the start. A broker that is away must not make the service manager end the process.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Number of signs of life within the time after which the service manager takes the process for dead.
const SIGNS_IN_TIMEOUT: u32 = 3;

/// Minimum interval between two signs of life.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Waits for the end of the start, but not for long. Then says that the process has started and, from then on, that it is alive.
pub async fn tell_of_the_start(started: watch::Receiver<bool>, supervisor: Supervisor) {
    if !is_running(started).await {
        return;
    }
    send(NotifyState::Ready);
    IS_READY.store(true, Relaxed);
    if let Some(timeout) = sd_notify::watchdog_enabled() {
        supervisor.spawn_loop(
            "the signs of life for the service manager",
            watchdog(timeout),
        );
    }
}

/// Waits for the end of the start, but not for long. False if the process ends before.
async fn is_running(mut started: watch::Receiver<bool>) -> bool {
    let waited = timeout(START_TIMEOUT, started.wait_for(|started| *started)).await;
    !matches!(waited, Ok(Err(_)))
}

/// Whether the service manager knows that the process has started.
static IS_READY: AtomicBool = AtomicBool::new(false);

/// Says that the process reads its configuration again. When what this returns is dropped, it has. A service manager that still
/// waits for the start is told nothing.
#[must_use]
pub fn reloading() -> Option<Reloading> {
    if !IS_READY.load(Relaxed) {
        return None;
    }
    let now = NotifyState::monotonic_usec_now().ok()?;
    send_all(&[NotifyState::Reloading, now]);
    Some(Reloading(()))
}

/// See [`reloading`].
#[derive(Debug)]
pub struct Reloading(());

impl Drop for Reloading {
    fn drop(&mut self) {
        send(NotifyState::Ready);
    }
}

/// Says that the process shuts down.
pub fn stopping() {
    IS_READY.store(false, Relaxed);
    send(NotifyState::Stopping);
}

/// Says that the process is alive, for as long as it is. All loops share one thread with this one. If something blocks the
/// thread, no sign of life is sent, and the service manager starts another process after this timeout.
async fn watchdog(timeout: Duration) {
    let mut ticks = interval((timeout / SIGNS_IN_TIMEOUT).max(MIN_INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        crash_point(CrashPoint::WatchdogLoop);
        send(NotifyState::Watchdog);
    }
}

fn send(state: NotifyState<'_>) {
    send_all(&[state]);
}

fn send_all(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_start_is_awaited_and_not_for_long() {
        let (is_started, seen) = watch::channel(false);
        let began = Instant::now();
        assert!(is_running(seen.clone()).await);
        let waited = began.elapsed();
        assert!(waited >= START_TIMEOUT, "{waited:?}");
        is_started.send_replace(true);
        assert!(is_running(seen).await);
        assert_eq!(began.elapsed(), waited);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_ends_before_has_not_started() {
        let (is_started, seen) = watch::channel(false);
        drop(is_started);
        let began = Instant::now();
        assert!(!is_running(seen).await);
        assert!(began.elapsed() < START_TIMEOUT);
    }
}
