//! The connections that have not finished their handshake: how many there may be, and how long each may take.

use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep_until},
};

/// Maximum number of connections in their handshake.
const MAX_HANDSHAKES: usize = 64;

/// Timeout for the handshake, that of TLS included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for the handshake while others wait for a place.
const CROWDED_TIMEOUT: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Doorway {
    places: Arc<Semaphore>,
    /// Whether a connection waits for a place.
    is_crowded: watch::Sender<bool>,
}

/// A place of a connection in its handshake. Dropped, it is free for the next one.
#[derive(Debug)]
pub(super) struct Handshake {
    _place: OwnedSemaphorePermit,
    began: Instant,
    is_crowded: watch::Receiver<bool>,
}

impl Doorway {
    /// A doorway with all its places free.
    pub(super) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
            is_crowded: watch::Sender::new(false),
        }
    }

    /// Waits for a place.
    pub(super) async fn enter(&self) -> Handshake {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Ok(place),
            Err(_) => {
                self.is_crowded.send_replace(true);
                Arc::clone(&self.places).acquire_owned().await
            }
        };
        let is_left = self.places.available_permits() > 0;
        self.is_crowded.send_if_modified(|crowded| {
            let changed = *crowded && is_left;
            *crowded &= !is_left;
            changed
        });
        match place {
            Ok(_place) => Handshake {
                _place,
                began: Instant::now(),
                is_crowded: self.is_crowded.subscribe(),
            },
            // Nobody closes the semaphore.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Handshake {
    /// Resolves when the handshake has taken too long.
    pub(super) async fn over(&self) {
        let mut is_crowded = self.is_crowded.clone();
        let crowded = async {
            // Without a doorway there is nobody who waits.
            if is_crowded.wait_for(|crowded| *crowded).await.is_err() {
                std::future::pending::<()>().await;
            }
            sleep_until(self.began + CROWDED_TIMEOUT).await;
        };
        tokio::select! {
            () = sleep_until(self.began + TIMEOUT) => {}
            () = crowded => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn a_handshake_has_ten_seconds() {
        let doorway = Doorway::new();
        let handshake = doorway.enter().await;
        let began = Instant::now();
        handshake.over().await;
        assert_eq!(began.elapsed(), TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_handshakes_end_when_others_wait() {
        let doorway = Doorway::new();
        let mut slow = Vec::new();
        for _ in 0..MAX_HANDSHAKES {
            slow.push(doorway.enter().await);
        }
        let began = Instant::now();
        let next = doorway.enter();
        let first = slow.remove(0);
        let leaves = async {
            first.over().await;
            drop(first);
        };
        let (next, ()) = tokio::join!(next, leaves);
        assert_eq!(began.elapsed(), CROWDED_TIMEOUT);
        assert!(timeout(CROWDED_TIMEOUT / 2, next.over()).await.is_err());
        // With places left there is time again.
        slow.truncate(10);
        drop(next);
        let next = doorway.enter().await;
        assert!(timeout(TIMEOUT / 2, next.over()).await.is_err());
    }
}
