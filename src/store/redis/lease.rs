//! This process's own lease, as far as it knows: when it was renewed, whether it lapsed, and whether Redis answers.

use super::error_text::NO_ANSWER;
use super::limits::LEASE;
use crate::store::StoreError;
use parking_lot::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// Time without a renewal after which the store counts as unavailable.
const RENEWAL_OVERDUE_TIME: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Lease(Mutex<State>);

struct State {
    /// When the last answered renewal began. The lease lasts at least for [`LEASE`] from then.
    renewed: Instant,
    /// When the process started, or when the lease was first renewed after a lapse.
    since: Instant,
    /// Whether there was a lapse that is not reported yet.
    unreported_lapse: bool,
    /// The id of the last message that was read from the inbox.
    last_read: String,
    /// Why the last renewal failed; `None` if it did not.
    last_error: Option<String>,
}

impl Lease {
    /// A lease whose first renewal began at `began`.
    pub(crate) fn new(began: Instant) -> Self {
        Self(Mutex::new(State {
            renewed: began,
            since: began,
            unreported_lapse: false,
            last_read: "0-0".to_owned(),
            last_error: None,
        }))
    }

    pub(crate) fn last_read(&self) -> String {
        self.state().last_read.clone()
    }

    /// Whether the renewal is overdue.
    pub(crate) fn is_due(&self) -> bool {
        self.state().renewed.elapsed() >= RENEWAL_OVERDUE_TIME
    }

    /// Notes an answered renewal that began at `began`. `was_there` says whether Redis still had the lease. The lease has
    /// lapsed if Redis did not have it. It may have lapsed if no renewal was answered for its whole time to live.
    pub(crate) fn renewed(&self, began: Instant, was_there: bool) {
        let mut state = self.state();
        if !was_there || state.renewed.elapsed() >= LEASE {
            state.since = Instant::now();
            state.unreported_lapse = true;
        }
        state.renewed = began;
        state.last_error = None;
    }

    /// Notes that the messages up to this id were read.
    pub(crate) fn read_up_to(&self, message: String) {
        self.state().last_read = message;
    }

    /// Notes that this process's set of tasks was lost. It must ask for its tasks, as after a lapse.
    pub(crate) fn lost_tasks(&self) {
        self.state().unreported_lapse = true;
    }

    /// Whether there was a lapse since the last call.
    pub(crate) fn report_lapse(&self) -> bool {
        std::mem::take(&mut self.state().unreported_lapse)
    }

    /// Notes a failed renewal. A missing answer does not replace an earlier error, because the client library does not answer
    /// while it connects.
    pub(crate) fn failed(&self, error: &StoreError) {
        let StoreError::Unavailable(why) = error else {
            return;
        };
        let mut state = self.state();
        if why != NO_ANSWER || state.last_error.is_none() {
            state.last_error = Some(why.clone());
        }
    }

    /// Whether the lease has held for long enough to count other processes without a lease as dead. Before a start and during
    /// a lapse all leases may have run out together, and the other processes may not have renewed theirs yet.
    pub(crate) fn may_judge_others(&self) -> bool {
        self.state().since.elapsed() >= LEASE
    }

    /// How long Redis has not answered, and why; `None` while it answers.
    pub(crate) fn unavailable(&self) -> Option<String> {
        let state = self.state();
        let unanswered = state.renewed.elapsed();
        (unanswered > RENEWAL_OVERDUE_TIME).then(|| {
            let secs = unanswered.as_secs();
            let why = state.last_error.as_deref().unwrap_or(NO_ANSWER);
            format!("for {secs} s: {why}")
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}
