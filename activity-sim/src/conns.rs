//! The number of open connections.

use parking_lot::Mutex;
use std::sync::Arc;

/// Counts the connections that are accepted and not closed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    open: u64,
    most: u64,
}

/// One connection in the count. Dropped, it is taken out.
#[derive(Debug)]
pub(crate) struct Counted(Connections);

impl Connections {
    /// Counts one more.
    pub(crate) fn opened(&self) -> Counted {
        let mut counts = self.0.lock();
        counts.open += 1;
        counts.most = counts.most.max(counts.open);
        drop(counts);
        Counted(self.clone())
    }

    /// The number that is open now, and the largest number since the last reset.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let counts = self.0.lock();
        (counts.open, counts.most)
    }

    /// Forgets the largest number.
    pub(crate) fn reset(&self) {
        let mut counts = self.0.lock();
        counts.most = counts.open;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.lock().open -= 1;
    }
}
