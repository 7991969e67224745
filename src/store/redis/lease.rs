//! What this process knows of its own lease.

use super::LEASE;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Without a look for this time, something is wrong.
const OVERDUE: Duration = Duration::from_secs(1);
/// Nobody takes the tasks of others on the strength of a lease that is older.
const FRESH: Duration = Duration::from_secs(4);

/// See the module.
pub(super) struct Lease(Mutex<State>);

struct State {
    /// When the last look began that was answered. The lease lasts at least until [`LEASE`] after it.
    renewed: Instant,
    /// Whether that was the look of the start.
    new: bool,
    /// When it was first renewed after a lapse; `None` where there was none.
    lapsed: Option<Instant>,
    /// The last letter that was read.
    read: String,
    /// What went wrong with the last look.
    wrong: Option<String>,
}

impl Lease {
    /// Of a look that began then and read up to this letter.
    pub(super) fn new(began: Instant) -> Self {
        Self(Mutex::new(State {
            renewed: began,
            new: true,
            lapsed: None,
            read: "0-0".to_owned(),
            wrong: None,
        }))
    }

    pub(super) fn last_read(&self) -> String {
        self.state().read.clone()
    }

    /// A look that began then was answered, and the lease was there or not. True where it has lapsed: it may have, where
    /// an answer was lost.
    pub(super) fn renewed(&self, began: Instant, was_there: bool, read: Option<String>) -> bool {
        let mut state = self.state();
        let lapsed = !was_there || state.renewed.elapsed() >= LEASE;
        if lapsed {
            state.lapsed = Some(Instant::now());
        }
        state.renewed = began;
        state.new = false;
        state.wrong = None;
        if let Some(read) = read {
            state.read = read;
        }
        lapsed
    }

    pub(super) fn failed(&self, why: String) {
        self.state().wrong = Some(why);
    }

    /// Whether it is safe to believe that others without a lease are dead. After a lapse they may have lapsed together, and
    /// the others may not be back yet.
    pub(super) fn may_judge_others(&self) -> bool {
        let state = self.state();
        let fresh = state.new || state.renewed.elapsed() < FRESH;
        fresh && state.lapsed.is_none_or(|since| since.elapsed() >= LEASE)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        let state = self.state();
        let silent = state.renewed.elapsed();
        (silent > OVERDUE).then(|| {
            let secs = silent.as_secs();
            let why = state.wrong.as_deref().unwrap_or("it was not asked");
            format!("no answer from Redis for {secs} s: {why}")
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
