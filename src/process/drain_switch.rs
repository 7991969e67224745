//! What the process is asked for: to run, to drain, or to end.

use super::shutdown::flush_reserve;
use crate::phase::Phase;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

/// Time for a drain to begin for which somebody waits.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(3);

/// What the process is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To take tasks from AWS.
    Run,
    /// To drain, since then.
    Drain(Instant),
    /// To end. The grace period began then.
    End(Instant),
}

/// The process is ending, and nothing takes that back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending;

/// How the wait for the end of a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainWait {
    /// Nothing is in flight.
    Drained,
    /// No drain has begun.
    NoDrain,
    /// The drain was taken back.
    TakenBack,
    /// The grace period is nearly over, and something is still in flight.
    TimeUp,
}

/// Asks the process to drain, to go on, or to end. Clones share what was asked.
#[derive(Clone, Debug)]
pub struct DrainSwitch {
    asked: Arc<watch::Sender<Asked>>,
    /// How long somebody waits for a drain at most: the grace period without its reserve.
    wait: Duration,
}

impl DrainSwitch {
    /// A process that is to run. `grace`: its grace period.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self {
            asked: Arc::new(watch::Sender::new(Asked::Run)),
            wait: grace - flush_reserve(grace),
        }
    }

    /// Asks for a drain. One that has begun goes on, and its time too.
    pub fn drain(&self) {
        self.asked.send_if_modified(|asked| {
            let runs = *asked == Asked::Run;
            if runs {
                *asked = Asked::Drain(Instant::now());
            }
            runs
        });
    }

    /// Takes a drain back. True if there was one.
    ///
    /// # Errors
    ///
    /// The process is ending.
    pub fn resume(&self) -> Result<bool, Ending> {
        if let Asked::End(_) = *self.asked.borrow() {
            return Err(Ending);
        }
        let was = self.asked.send_replace(Asked::Run);
        Ok(was != Asked::Run)
    }

    /// Asks the process to end. Returns when its grace period began: now, or with the drain that came before.
    pub fn end(&self) -> Instant {
        let since = self.since().unwrap_or_else(Instant::now);
        self.asked.send_replace(Asked::End(since));
        since
    }

    /// Waits until nothing is in flight, but only if a drain, or a shutdown, has begun or begins soon.
    pub async fn drained(&self, mut phase: watch::Receiver<Phase>) -> DrainWait {
        let mut asked = self.asked.subscribe();
        // No receiver gets an error here: `self` holds the one sender, and the other lives as long as the process.
        let begun = timeout(BEGIN_TIMEOUT, asked.wait_for(|asked| *asked != Asked::Run)).await;
        drop(begun);
        let Some(deadline) = self.deadline() else {
            return DrainWait::NoDrain;
        };
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| phase.is_drained()) => DrainWait::Drained,
            _ = asked.wait_for(|asked| *asked == Asked::Run) => DrainWait::TakenBack,
            () = sleep_until(deadline) => DrainWait::TimeUp,
        }
    }

    /// Until when somebody waits for the drain that is asked for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.since()? + self.wait)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Asked> {
        self.asked.subscribe()
    }

    /// Since when a drain, or the end, is asked for.
    fn since(&self) -> Option<Instant> {
        match *self.asked.borrow() {
            Asked::Run => None,
            Asked::Drain(since) | Asked::End(since) => Some(since),
        }
    }
}
