//! The health of the file: a failure, a slow disk, and the number of flushes. The writer sets it; others read it
//! without waiting for the writer.

use crate::store::unreadable::UnreadablePlaces;
use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Time without an answer of the disk after which the store counts as unavailable.
const SLOW: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Health {
    flushes: AtomicU64,
    state: Mutex<State>,
    /// The records that can't be read.
    pub(crate) unreadable: UnreadablePlaces,
}

#[derive(Debug, Default)]
struct State {
    failure: Option<String>,
    /// Since when the writer waits for the disk.
    waits: Option<Instant>,
}

impl Health {
    /// The number of transactions that were written.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// Counts one more transaction.
    pub(crate) fn flushed(&self) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
    }

    /// Why the store can't be used, if it can't.
    pub(crate) fn unavailable(&self) -> Option<String> {
        self.with(|state| {
            let silent = state.waits.map(|since| since.elapsed());
            let silent = silent.filter(|silent| *silent > SLOW);
            let slow = silent
                .map(|silent| format!("the disk has not answered for {} s", silent.as_secs()));
            state.failure.clone().or(slow)
        })
    }

    /// Sets why the file can't be used; `None` if it can be used again.
    pub(crate) fn failure(&self, failure: Option<String>) {
        self.with(|state| state.failure = failure);
    }

    /// Measures how long the disk takes for `act`.
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
    fn the_store_is_unavailable_while_the_disk_does_not_answer() {
        let health = Health::default();
        // A disk that was asked just now. The time to come keeps a suspended thread from making this wrong.
        let soon = Instant::now() + Duration::from_secs(3_600);
        health.with(|state| state.waits = Some(soon));
        assert_eq!(health.unavailable(), None);
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
