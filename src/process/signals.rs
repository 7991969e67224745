//! The signals that ask the process to stop, the one that asks it to read its configuration again, and those that mean nothing.

use crate::util::{log_queue, supervise::Supervisor};
use std::future::pending;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use tracing::{error, info};

/// The registered signals.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// SIGQUIT; `None` if the process ignores it, as one that a script starts in the background.
    quit: Option<Signal>,
    /// SIGHUP; `None` if the process ignores it, as under `nohup`.
    hangup: Option<Signal>,
    /// SIGUSR1 and SIGUSR2. Elsewhere they open log files anew, or change a level. They would end a process that does not know them.
    user_defined: [Signal; 2],
    /// Announces each SIGHUP.
    hangups: watch::Sender<()>,
}

/// Whether a process ignores a signal, read from its `/proc/PID/status`. Then the process is meant to outlive the terminal.
fn ignores(status: &str, signal: SignalKind) -> bool {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit stands for signal 1.
    let bit = u32::try_from(signal.as_raw_value() - 1).unwrap_or_default();
    mask.is_some_and(|mask| mask >> bit & 1 == 1)
}

/// The next of a signal that may be ignored.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

impl Signals {
    /// Registers the signals, so that none is missed from now on.
    ///
    /// # Errors
    ///
    /// If the system refuses a signal handler.
    pub fn register() -> std::io::Result<Self> {
        // Without this file no signal counts as ignored.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let unless_ignored = |kind| match ignores(&status, kind) {
            true => Ok(None),
            false => signal(kind).map(Some),
        };
        Ok(Self {
            hangup: unless_ignored(SignalKind::hangup())?,
            quit: unless_ignored(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user_defined: [
                signal(SignalKind::user_defined1())?,
                signal(SignalKind::user_defined2())?,
            ],
            hangups: watch::Sender::new(()),
        })
    }

    /// Announces each SIGHUP, once [`Self::asked_to_stop`] is awaited. Several that come together are one.
    #[must_use]
    pub fn hangups(&self) -> watch::Receiver<()> {
        self.hangups.subscribe()
    }

    /// The next signal that asks the process to stop.
    async fn next(&mut self) -> &'static str {
        let [first, second] = &mut self.user_defined;
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                () = received(&mut self.quit) => return "SIGQUIT",
                () = received(&mut self.hangup) => {
                    self.hangups.send_replace(());
                    continue;
                }
                _ = first.recv() => "SIGUSR1",
                _ = second.recv() => "SIGUSR2",
            };
            info!("{name}: it has no meaning here, and nothing changes");
        }
    }

    /// Waits for the first signal. A second one, at any later time, ends the process at once with code 130. SIGHUP is none of them.
    pub async fn asked_to_stop(mut self, supervisor: Supervisor) {
        let name = self.next().await;
        info!("{name}: shutting down; a second signal ends the process at once");
        supervisor.spawn("the second signal", async move {
            self.next().await;
            error!("a second signal: ending at once, with tasks in flight");
            log_queue::flush();
            std::process::exit(130);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_detected() {
        let ignored = |status: &str| {
            [SignalKind::hangup(), SignalKind::quit()].map(|kind| ignores(status, kind))
        };
        for (status, expected) in [
            (
                "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n",
                [true, false],
            ),
            (
                "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n",
                [false, false],
            ),
            ("SigIgn:\t0000000000001006\n", [false, true]),
            ("SigIgn:\t0000000000000005\n", [true, true]),
            ("SigIgn:\tno number\n", [false, false]),
            ("", [false, false]),
        ] {
            assert_eq!(ignored(status), expected, "{status:?}");
        }
    }
}
