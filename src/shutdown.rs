//! Shutting down in named phases, so that a deploy loses no task.

use crate::{
    bridge::Bridge,
    settle,
    store::Life,
    task::{Outcome, OwnFailure, TaskId},
};
use std::{future::pending, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::{error, info, warn};

/// AWS holds a poll for 60 s, and an open poll is never cancelled.
pub const POLL_HOLD: Duration = Duration::from_secs(60);

/// What the process is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything, while tasks from before the start are still to be published again.
    Recovering,
    /// Everything.
    Running,
    /// No new polls; the open ones are awaited.
    Quiescing,
    /// No polls; the tasks in flight are awaited, replies and heartbeats go on.
    Draining,
    /// What is still in flight, and shall not wait for another process, is failed back to AWS.
    Flushing,
    /// Nothing.
    Closed,
}

impl Phase {
    /// Whether new tasks are polled.
    #[must_use]
    pub fn polls(self) -> bool {
        self <= Self::Running
    }

    /// The name in logs and on the admin endpoint.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Running => "running",
            Self::Quiescing => "quiescing",
            Self::Draining => "draining",
            Self::Flushing => "flushing",
            Self::Closed => "closed",
        }
    }
}

/// The signals that ask the process to stop.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Unless it is ignored, as under `nohup`.
    hangup: Option<Signal>,
}

const HANGUP: &str = "SIGHUP";

/// Whether a process ignores SIGHUP, by its `/proc/PID/status`. Whoever started it wants it to outlive the terminal.
fn ignores_hangup(status: &str) -> bool {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit is signal 1.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

impl Signals {
    /// Registers for them, so that none is missed from here on.
    ///
    /// # Errors
    ///
    /// Where the system refuses a signal handler.
    pub fn register() -> std::io::Result<Self> {
        // Where there is no such file, nothing is known to be ignored.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hangup = match ignores_hangup(&status) {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Self {
            hangup,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hangup => HANGUP,
        }
    }

    /// Waits for the first. A second one, at any later time, ends the process at once with code 130.
    ///
    /// A second SIGHUP does not: a terminal that is closed sends two, one by itself and one by its shell. systemd can send one right
    /// after SIGTERM.
    pub async fn asked_to_stop(mut self) {
        let name = self.next().await;
        info!("{name}: shutting down; a second signal ends the process at once");
        tokio::spawn(async move {
            while self.next().await == HANGUP {
                info!("{HANGUP}: shutting down already");
            }
            error!("a second signal: ending at once, with tasks in flight");
            std::process::exit(130);
        });
    }
}

/// How much of a grace period is kept for failing back what is left; a call to AWS takes milliseconds.
#[must_use]
pub fn flush_reserve(grace: Duration) -> Duration {
    (grace / 5).min(Duration::from_secs(10))
}

/// What is shut down.
pub struct Shutdown {
    /// What all parts share.
    pub bridge: Arc<Bridge>,
    /// The poll loops, which end by themselves when the phase is no longer running.
    pub pollers: JoinSet<()>,
    /// What keeps the routes' gates, which matter no more when polling has ended.
    pub gates: JoinSet<()>,
    /// Where the phase is told.
    pub phase: watch::Sender<Phase>,
    /// From the beginning to the end.
    pub grace: Duration,
    /// Whether what is left at the end is failed back to AWS.
    pub give_back: bool,
}

impl Shutdown {
    /// Goes through the phases. True where nothing was left in flight, or what was left is in a store that outlives the
    /// process.
    pub async fn run(mut self) -> bool {
        let end = Instant::now() + self.grace;
        let flush_from = end - flush_reserve(self.grace);

        self.enter(Phase::Quiescing);
        let quiet = timeout_at(flush_from, async {
            while self.pollers.join_next().await.is_some() {}
        });
        if quiet.await.is_err() {
            warn!(
                "polls are still open, and a task handed to one is lost until AWS times it out; shutdown.grace_secs is too short"
            );
        }
        self.gates.abort_all();
        self.enter(Phase::Draining);
        let mut drained = timeout_at(flush_from, self.all_slots_free()).await.is_ok();
        if !drained {
            self.enter(Phase::Flushing);
            drained = timeout_at(end, self.flush()).await.is_ok();
        }
        let Bridge {
            flights,
            broker,
            store,
            ..
        } = &*self.bridge;
        let left = flights.len();
        let lost = match store.life() {
            Life::Process => left,
            Life::Beyond(_) => flights.unrecorded().len(),
        };
        if lost > 0 {
            let replies = broker.reply_to();
            error!(
                lost,
                replies,
                "the grace period is over, and tasks are in flight that no other process will know; AWS will time them out. Replies that AWS has not taken stay in their queue until it expires"
            );
        } else if left > 0 {
            info!(
                left,
                "the grace period is over; the tasks in flight stay in the token store for the next process"
            );
        }
        // With nothing recorded no reply is to come, unless others read the same queue.
        let forget_replies =
            drained && store.shared().is_none() && matches!(store.count().await, Ok(0));
        broker.close(forget_replies).await;
        store.close().await;
        self.enter(Phase::Closed);
        lost == 0
    }

    fn enter(&self, phase: Phase) {
        let in_flight = self.bridge.flights.len();
        info!(phase = phase.name(), in_flight, "shutting down");
        self.phase.send_replace(phase);
    }

    /// Waits until every open poll has ended and every task is settled; tells every few seconds how many are left.
    async fn all_slots_free(&self) {
        let free = async {
            for route in &self.bridge.routes {
                route.slots.all_free().await;
            }
        };
        tokio::pin!(free);
        let mut tell = tokio::time::interval(Duration::from_secs(5));
        tell.tick().await;
        loop {
            tokio::select! {
                () = &mut free => return,
                _ = tell.tick() => {
                    let in_flight = self.bridge.flights.len();
                    info!(in_flight, phase = self.phase.borrow().name(), "waiting for the tasks in flight");
                }
            }
        }
    }

    /// Gives back what is not to wait for another process, and what polls that are still open bring of it meanwhile, until
    /// nothing of that is left.
    async fn flush(&mut self) {
        let mut again = tokio::time::interval(Duration::from_millis(200));
        loop {
            again.tick().await;
            let flights = &self.bridge.flights;
            while self.pollers.try_join_next().is_some() {}
            let (left, taken) = match self.give_back {
                true => (
                    flights.ids(),
                    self.bridge.routes.iter().any(|r| r.slots.taken() > 0),
                ),
                false => (flights.unrecorded(), !self.pollers.is_empty()),
            };
            if left.is_empty() && !taken {
                return;
            }
            left.into_iter().for_each(|id| self.fail_back(id));
        }
    }

    /// Fails a task back to AWS, unless its outcome is on the way there already.
    fn fail_back(&self, id: TaskId) {
        if let Some(ticket) = self.bridge.flights.give_up(id) {
            let reason = "activity-bridge was shut down before the worker replied";
            warn!(route = ticket.route.name(), task = %id, "{reason}; failing it back to AWS");
            let outcome = Outcome::failed(OwnFailure::ShutDown, reason);
            tokio::spawn(settle::settle(Arc::clone(&self.bridge), ticket, outcome));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_seen() {
        for (status, ignored) in [
            (
                "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n",
                true,
            ),
            (
                "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n",
                false,
            ),
            ("SigIgn:\tno number\n", false),
            ("", false),
        ] {
            assert_eq!(ignores_hangup(status), ignored, "{status:?}");
        }
    }
}
