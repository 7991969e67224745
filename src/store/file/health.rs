//! What others see of the writer without asking it.

use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// From when on a disk that does not answer is trouble.
const SLOW: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Health {
    flushes: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failure: Option<String>,
    /// Since when the writer has waited for the disk.
    waits: Option<Instant>,
}

impl Health {
    /// How many transactions were written.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// One more was.
    pub(crate) fn flushed(&self) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
    }

    /// What is wrong.
    pub(crate) fn unavailable(&self) -> Option<String> {
        self.with(|state| {
            let silent = state.waits.map(|since| since.elapsed());
            let silent = silent.filter(|silent| *silent > SLOW);
            let slow = silent
                .map(|silent| format!("the disk has not answered for {} s", silent.as_secs()));
            state.failure.clone().or(slow)
        })
    }

    /// The file can't be used because of this; or can again.
    pub(crate) fn failure(&self, failure: Option<String>) {
        self.with(|state| state.failure = failure);
    }

    /// Watches the disk while it is used.
    pub(crate) fn watch<T>(&self, act: impl FnOnce() -> T) -> T {
        self.with(|state| state.waits = Some(Instant::now()));
        let done = act();
        self.with(|state| state.waits = None);
        done
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_does_not_answer_is_trouble_until_it_does() {
        let health = Health::default();
        // Five times: this thread, too, may stand still for long.
        let mut at_once = (0..5).map(|_| health.watch(|| health.unavailable()));
        assert!(
            at_once.any(|unavailable| unavailable.is_none()),
            "not at once"
        );
        let long_ago = Instant::now().checked_sub(Duration::from_secs(3));
        health.with(|state| state.waits = long_ago);
        let unavailable = health.unavailable().expect("no answer for long");
        let latest = long_ago.expect("a time").elapsed().as_secs();
        let said = |secs| unavailable == format!("the disk has not answered for {secs} s");
        assert!((3..=latest).any(said), "{unavailable}");
        health.failure(Some("it is broken".to_owned()));
        assert_eq!(health.unavailable().as_deref(), Some("it is broken"));
        health.watch(|| ());
        health.failure(None);
        assert_eq!(health.unavailable(), None);
    }
}
