//! Slots: the bound on what one route has in flight.
//!
//! A slot is taken before the poll, travels with the task, and is freed by being dropped, wherever the task
//! happens to end. Nothing else counts tasks.
//!
//! A task that was polled by another process, or by this one before a crash, needs a slot too, and can't wait for one. So
//! there may be more than all in use: then nothing is polled until enough are free again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::sync::Semaphore;

/// The slots of one route.
#[derive(Clone, Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    total: usize,
    /// How many are in use beyond all.
    beyond: Arc<AtomicUsize>,
}

/// The right to have one task in flight.
#[derive(Debug)]
pub struct Slot(Slots);

impl Slots {
    /// `total` slots, all free.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
            beyond: Arc::default(),
        }
    }

    /// Waits for a slot.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but the place in the line.
    pub async fn take(&self) -> Slot {
        let permit = self.free.acquire().await;
        permit.expect("the semaphore is never closed").forget();
        Slot(self.clone())
    }

    /// A slot for a task that is in flight already, whether one is free or not.
    #[must_use]
    pub fn acquire_beyond(&self) -> Slot {
        match self.free.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(_) => {
                self.beyond.fetch_add(1, Relaxed);
            }
        }
        Slot(self.clone())
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
        self.total - self.free.available_permits() + self.beyond.load(Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let less = |beyond: usize| beyond.checked_sub(1);
        if self.0.beyond.fetch_update(Relaxed, Relaxed, less).is_err() {
            self.0.free.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn is_free(slots: &Slots) -> bool {
        let taken = tokio::time::timeout(Duration::from_secs(60), slots.take()).await;
        taken.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_slots_than_there_are() {
        let slots = Slots::new(2);
        let (one, two) = (slots.take().await, slots.take().await);
        assert!(!is_free(&slots).await);
        assert_eq!(slots.taken(), 2);
        drop(one);
        slots.take().await;
        assert_eq!(slots.taken(), 1);
        drop(two);
        slots.all_free().await;
        slots.all_free().await;
        assert_eq!(slots.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_in_flight_gets_a_slot_beyond_all_which_is_paid_back_first() {
        let slots = Slots::new(1);
        let adopted: Vec<_> = (0..3).map(|_| slots.acquire_beyond()).collect();
        assert_eq!(slots.taken(), 3);
        for (left, slot) in adopted.into_iter().enumerate() {
            assert!(!is_free(&slots).await, "{left}");
            drop(slot);
        }
        assert_eq!(slots.taken(), 0);
        slots.all_free().await;
        assert!(is_free(&slots).await);
    }
}
