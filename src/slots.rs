//! Slots: the bound on what one route has in flight.
//!
//! A slot is taken before the poll, travels with the task, and is freed by being dropped, wherever the task
//! happens to end. Nothing else counts tasks.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of one route.
#[derive(Clone, Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    total: usize,
}

/// The right to have one task in flight.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    /// `total` slots, all free.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
        }
    }

    /// Waits for a slot.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but the place in the line.
    pub async fn take(&self) -> Slot {
        let permit = Arc::clone(&self.free).acquire_owned().await;
        Slot {
            _permit: permit.expect("the semaphore is never closed"),
        }
    }

    /// Waits until none is taken.
    pub async fn all_free(&self) {
        let all = u32::try_from(self.total).expect("the configuration's bound fits");
        let permits = self.free.acquire_many(all).await;
        drop(permits.expect("the semaphore is never closed"));
    }

    /// How many are taken, by open polls and by tasks.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.total - self.free.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn no_more_slots_than_there_are() {
        let slots = Slots::new(2);
        let (one, two) = (slots.take().await, slots.take().await);
        let third = tokio::time::timeout(Duration::from_secs(60), slots.take()).await;
        assert!(third.is_err());
        assert_eq!(slots.taken(), 2);
        drop(one);
        slots.take().await;
        assert_eq!(slots.taken(), 1);
        drop(two);
        slots.all_free().await;
        slots.all_free().await;
        assert_eq!(slots.taken(), 0);
    }
}
