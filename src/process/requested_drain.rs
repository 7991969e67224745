//! The drain that a person or a hook asks for. It does not end the process, and it can be taken back.

use super::{
    awaited::{free_slots, no_open_polls},
    drain_switch::{Asked, DrainSwitch},
};
use crate::{
    context::Bridge,
    phase::Phase,
    util::crash_point::{CrashPoint, crash_point},
};
use std::sync::Arc;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

/// See the module.
pub struct RequestedDrain {
    /// What all parts share.
    pub bridge: Arc<Bridge>,
    /// Announces the phase.
    pub phase: watch::Sender<Phase>,
    /// Whether the recovery has ended.
    pub recovered: watch::Receiver<bool>,
    /// What the process is asked for.
    pub switch: DrainSwitch,
}

impl RequestedDrain {
    /// Drains when it is asked to, and lets the routes poll again when the drain is taken back. Returns when the process is
    /// asked to end: from then on the shutdown sets the phase.
    pub async fn run(self) {
        let mut asked = self.switch.subscribe();
        loop {
            crash_point(CrashPoint::DrainLoop);
            // An error would mean that the sender is dropped, but `self` holds it.
            let wanted = asked.wait_for(|asked| *asked != Asked::Run).await;
            if wanted.is_ok_and(|wanted| matches!(*wanted, Asked::End(_))) {
                return;
            }
            let other = asked.wait_for(|asked| !matches!(asked, Asked::Drain(_)));
            tokio::select! {
                // No phase is set after the process was asked to end.
                biased;
                _ = other => {}
                never = self.drain() => match never {},
            }
            if *asked.borrow() == Asked::Run {
                self.resume();
            }
        }
    }

    async fn drain(&self) -> std::convert::Infallible {
        let draining = async {
            self.enter(Phase::Quiescing);
            no_open_polls(&self.bridge).await;
            // A search for tasks of dead processes that has begun may still bring some. No other begins.
            drop(self.bridge.adopting.lock().await);
            self.enter(Phase::Draining);
            free_slots(&self.bridge, Phase::Draining).await;
            self.enter(Phase::Drained);
        };
        tokio::pin!(draining);
        let deadline = self.switch.deadline().unwrap_or_else(Instant::now);
        if timeout_at(deadline, &mut draining).await.is_err() {
            let in_flight = self.bridge.inflight.len();
            warn!(
                in_flight,
                "the grace period of the drain is nearly over; whoever waits for it is told so, and the drain goes on"
            );
            draining.await;
        }
        std::future::pending().await
    }

    fn enter(&self, phase: Phase) {
        let in_flight = self.bridge.inflight.len();
        info!(
            phase = phase.name(),
            in_flight, "draining, as was asked for"
        );
        self.phase.send_replace(phase);
    }

    fn resume(&self) {
        let phase = match *self.recovered.borrow() {
            true => Phase::Running,
            false => Phase::Recovering,
        };
        info!(phase = phase.name(), "the drain was taken back");
        self.phase.send_replace(phase);
    }
}
