//! The open connections of the admin endpoint, in the order of their last requests.
//!
//! A connection whose caller waits for a drain is out of that order. It is not closed for a new one, and it may take longer.

use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Open {
    by_use: BTreeMap<u64, oneshot::Sender<()>>,
    /// The number of connections whose callers wait.
    waiting: usize,
    last: u64,
}

impl Open {
    /// Makes room if there are `max` connections, and takes a place. True if room had to be made.
    pub(super) fn enter(open: &Arc<Mutex<Self>>, max: usize) -> (Place, bool) {
        let mut table = open.lock();
        let full = table.len() >= max;
        while table.len() >= max.max(1) && table.close_oldest() {}
        let (close, closed) = oneshot::channel();
        let position = table.add(close);
        let used = Used {
            open: Arc::clone(open),
            position: AtomicU64::new(position),
            at: Mutex::new(Some(Instant::now())),
        };
        let used = InUse(Arc::new(used));
        (Place { used, closed }, full)
    }

    fn len(&self) -> usize {
        self.by_use.len() + self.waiting
    }

    fn add(&mut self, close: oneshot::Sender<()>) -> u64 {
        self.last += 1;
        self.by_use.insert(self.last, close);
        self.last
    }

    /// Closes the connection whose last request is the oldest. False if there is none.
    pub(super) fn close_oldest(&mut self) -> bool {
        self.by_use.pop_first().is_some()
    }
}

/// The place of a connection. Dropped, it is free.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) used: InUse,
    pub(super) closed: oneshot::Receiver<()>,
}

/// When a connection was used: its beginning, or its last request.
#[derive(Clone, Debug)]
pub(super) struct InUse(Arc<Used>);

#[derive(Debug)]
struct Used {
    open: Arc<Mutex<Open>>,
    position: AtomicU64,
    /// `None` while its caller waits.
    at: Mutex<Option<Instant>>,
}

/// A caller that waits. Dropped, it has its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    used: InUse,
    close: Option<oneshot::Sender<()>>,
}

impl InUse {
    /// Notes a request.
    pub(super) fn touch(&self) {
        let mut table = self.0.open.lock();
        if let Some(close) = table.by_use.remove(&self.0.position.load(Relaxed)) {
            self.0.position.store(table.add(close), Relaxed);
        }
        *self.0.at.lock() = Some(Instant::now());
    }

    /// Notes that the caller waits, until the returned value is dropped. The number of callers that wait must be bounded.
    pub(super) fn wait(&self) -> Waiting {
        let mut table = self.0.open.lock();
        let close = table.by_use.remove(&self.0.position.load(Relaxed));
        table.waiting += usize::from(close.is_some());
        *self.0.at.lock() = None;
        Waiting {
            used: self.clone(),
            close,
        }
    }

    /// Waits until the last use is longer ago than the limit, and the caller does not wait.
    pub(super) async fn longer_ago_than(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let over = self.0.at.lock().unwrap_or(now) + limit;
            if over <= now {
                return;
            }
            sleep_until(over).await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let used = &self.used.0;
        let mut table = used.open.lock();
        // Without it, the connection was being closed already.
        if let Some(close) = self.close.take() {
            table.waiting -= 1;
            used.position.store(table.add(close), Relaxed);
        }
        *used.at.lock() = Some(Instant::now());
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let position = self.position.load(Relaxed);
        drop(self.open.lock().by_use.remove(&position));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::error::TryRecvError;

    fn is_closed(place: &mut Place) -> bool {
        place.closed.try_recv() == Err(TryRecvError::Closed)
    }

    #[tokio::test]
    async fn who_waits_keeps_its_place_and_leaves_it_to_another() {
        let open = Arc::new(Mutex::new(Open::default()));
        let (mut first, _) = Open::enter(&open, 2);
        let waiting = first.used.wait();
        let (mut second, was_full) = Open::enter(&open, 2);
        assert!(!was_full);
        let (mut third, was_full) = Open::enter(&open, 2);
        assert!(was_full);
        assert_eq!(
            [is_closed(&mut first), is_closed(&mut second)],
            [false, true]
        );
        drop(waiting);
        drop(first);
        let (_fourth, was_full) = Open::enter(&open, 2);
        assert!(!was_full);
        assert!(!is_closed(&mut third));
    }
}
