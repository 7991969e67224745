//! The signals that ask the process to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

/// The signals that ask the process to stop.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Registers for them, so that none is missed from here on.
    ///
    /// # Errors
    ///
    /// Where the system refuses a signal handler.
    pub fn register() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for the first. A second one, at any later time, ends the process at once with code 130.
    pub async fn asked_to_stop(mut self) {
        let name = self.next().await;
        info!("{name}: shutting down; a second signal ends the process at once");
        tokio::spawn(async move {
            self.next().await;
            error!("a second signal: ending at once, with tasks in flight");
            std::process::exit(130);
        });
    }
}
