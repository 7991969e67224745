//! The bound on open sockets of workers: the connections that may be in use, and those that close.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum number of open sockets beyond the connections that are in use: those that close.
const MARGIN: usize = 128;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sockets {
    free: Arc<Semaphore>,
    /// The maximum number of connections.
    connections: Mutex<usize>,
}

impl Sockets {
    /// For so many connections.
    pub(crate) fn new(connections: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(connections + MARGIN)),
            connections: Mutex::new(connections),
        }
    }

    /// The maximum number of connections.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock()
    }

    /// Whether one more socket has to wait.
    pub(crate) fn are_all_open(&self) -> bool {
        self.free.available_permits() == 0
    }

    /// Waits for room for a socket. `None` never comes: nobody closes the semaphore.
    pub(crate) async fn open(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Sets the maximum number of connections. Sockets that are open stay open, and as many more stay allowed.
    pub(crate) fn resize(&self, connections: usize) {
        let mut now = self.connections.lock();
        match now.checked_sub(connections) {
            Some(fewer) => *now -= self.free.forget_permits(fewer),
            None => {
                self.free.add_permits(connections - *now);
                *now = connections;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::task::unconstrained;

    #[tokio::test]
    async fn the_bound_changes_and_what_is_open_stays_open() {
        let sockets = Sockets::new(1);
        // Without the budget that tokio gives to a task.
        let open = || unconstrained(sockets.open()).now_or_never().flatten();
        let mut held: Vec<_> = (0..MARGIN).map_while(|_| open()).collect();
        assert_eq!(held.len(), MARGIN);
        sockets.resize(3);
        held.extend((0..9).map_while(|_| open()));
        assert_eq!((held.len(), sockets.connections()), (MARGIN + 3, 3));
        assert!(sockets.are_all_open());
        held.truncate(MARGIN + 1);
        sockets.resize(1);
        assert!(sockets.are_all_open());
        held.clear();
        held.extend((0..MARGIN + 9).map_while(|_| open()));
        assert_eq!((held.len(), sockets.connections()), (MARGIN + 1, 1));
    }
}
