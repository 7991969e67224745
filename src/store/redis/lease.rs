//! What this process knows of its own lease.

use super::connection::NO_ANSWER;
use super::limits::LEASE;
use crate::store::StoreError;
use parking_lot::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// Without a look for this time, something is wrong.
const OVERDUE: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Lease(Mutex<State>);

struct State {
    /// When the last look began that was answered. The lease lasts at least until [`LEASE`] after it.
    renewed: Instant,
    /// When the process started, or when it was first renewed after a lapse.
    since: Instant,
    /// A lapse that was seen and not reported yet.
    unreported: bool,
    /// The last letter that was read.
    read: String,
    /// What went wrong with the last look.
    wrong: Option<String>,
}

impl Lease {
    /// Of a look that began then.
    pub(crate) fn new(began: Instant) -> Self {
        Self(Mutex::new(State {
            renewed: began,
            since: began,
            unreported: false,
            read: "0-0".to_owned(),
            wrong: None,
        }))
    }

    pub(crate) fn last_read(&self) -> String {
        self.state().read.clone()
    }

    /// Whether it is time to renew it, where nobody has looked.
    pub(crate) fn is_due(&self) -> bool {
        self.state().renewed.elapsed() >= OVERDUE
    }

    /// A renewal that began then was answered, and the lease was there or not. It has lapsed, or may have, where an answer
    /// was lost.
    pub(crate) fn renewed(&self, began: Instant, was_there: bool) {
        let mut state = self.state();
        if !was_there || state.renewed.elapsed() >= LEASE {
            state.since = Instant::now();
            state.unreported = true;
        }
        state.renewed = began;
        state.wrong = None;
    }

    /// Letters up to this one were read.
    pub(crate) fn read_up_to(&self, message: String) {
        self.state().read = message;
    }

    /// Whether there was a lapse since this was last asked.
    pub(crate) fn report_lapse(&self) -> bool {
        std::mem::take(&mut self.state().unreported)
    }

    /// A look failed. Silence does not hide what was said before: the client is silent while it connects.
    pub(crate) fn failed(&self, error: &StoreError) {
        let StoreError::Unavailable(why) = error else {
            return;
        };
        let mut state = self.state();
        if why != NO_ANSWER || state.wrong.is_none() {
            state.wrong = Some(why.clone());
        }
    }

    /// Whether it has held for long enough to believe that others without one are dead. After a lapse they may have lapsed
    /// together, and before a start too, and the others may not be back yet.
    pub(crate) fn may_judge_others(&self) -> bool {
        self.state().since.elapsed() >= LEASE
    }

    /// How long Redis has not answered, and why.
    pub(crate) fn unavailable(&self) -> Option<String> {
        let state = self.state();
        let silent = state.renewed.elapsed();
        (silent > OVERDUE).then(|| {
            let secs = silent.as_secs();
            let why = state.wrong.as_deref().unwrap_or(NO_ANSWER);
            format!("for {secs} s: {why}")
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}
