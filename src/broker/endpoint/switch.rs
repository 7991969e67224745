//! The state of the endpoint behind its lock, and the loop that does what is due.

use super::state::State;
use crate::util::crash_point::{CrashPoint, crash_point};
use parking_lot::Mutex;
use std::{fmt, sync::Arc};
use tokio::time::{Instant, sleep_until};

/// See the module. Clones share the state.
#[derive(Clone)]
pub(crate) struct Switch(Arc<Mutex<State>>);

impl Switch {
    /// Shares a state.
    pub(crate) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// Reads or changes the state.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock())
    }

    /// Does what is due, until the process ends.
    pub(crate) async fn run(self) {
        let sooner = self.with(|state| Arc::clone(&state.sooner));
        loop {
            crash_point(CrashPoint::ClockLoop);
            let due = self.with(|state| {
                state.do_due(Instant::now());
                state.next_due()
            });
            let wait = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = sooner.notified() => {}
            }
        }
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Switch")
    }
}
