//! The signals that ask the process to stop.

use crate::util::supervise::Supervisor;
use std::future::pending;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

/// The registered signals.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// SIGHUP; `None` if the process ignores it, as under `nohup`.
    hangup: Option<Signal>,
}

const HANGUP: &str = "SIGHUP";

/// Whether a process ignores SIGHUP, read from its `/proc/PID/status`. Then the process is meant to outlive the terminal.
fn ignores_hangup(status: &str) -> bool {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit stands for signal 1.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
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

    /// Waits for the first signal. A second one, at any later time, ends the process at once with code 130.
    ///
    /// A second SIGHUP is ignored. A terminal that is closed causes two of them: one by the terminal and one by its shell. systemd
    /// can send one right after SIGTERM.
    pub async fn asked_to_stop(mut self, supervisor: Supervisor) {
        let name = self.next().await;
        info!("{name}: shutting down; a second signal ends the process at once");
        supervisor.spawn("the second signal", async move {
            while self.next().await == HANGUP {
                info!("{HANGUP}: shutting down already");
            }
            error!("a second signal: ending at once, with tasks in flight");
            std::process::exit(130);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_sighup_is_detected() {
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
