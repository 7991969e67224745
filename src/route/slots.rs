//! Slots: the bound on the open polls and tasks in flight of one route.
//!
//! A slot is acquired before the poll and travels with the task. It is freed when it is dropped, wherever the task ends.
//! Nothing else counts tasks.
//!
//! An adopted task (polled by another process, or by this one before a crash) needs a slot too and can't wait for one.
//! Therefore more slots than the total can be in use. Then the route does not poll until the surplus is freed.

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
    /// The number of slots in use beyond the total.
    beyond: Arc<AtomicUsize>,
    /// The number of slots in use. The semaphore does not tell it: [`Slots::all_free`] holds the permits that it has got so far.
    in_use: Arc<AtomicUsize>,
}

/// The right to have one task in flight.
#[derive(Debug)]
pub struct Slot(Slots);

impl Slots {
    /// Creates `total` slots, all free.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
            beyond: Arc::default(),
            in_use: Arc::default(),
        }
    }

    fn slot(&self) -> Slot {
        self.in_use.fetch_add(1, Relaxed);
        Slot(self.clone())
    }

    /// Waits for a slot.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses only its place in the line.
    pub async fn acquire(&self) -> Slot {
        let permit = self.free.acquire().await;
        permit.expect("the semaphore is never closed").forget();
        self.slot()
    }

    /// A slot for an adopted task, whether one is free or not.
    #[must_use]
    pub fn acquire_beyond(&self) -> Slot {
        match self.free.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(_) => {
                self.beyond.fetch_add(1, Relaxed);
            }
        }
        self.slot()
    }

    /// Waits until no slot is in use.
    pub async fn all_free(&self) {
        let all = u32::try_from(self.total).expect("the configuration's bound fits");
        let permits = self.free.acquire_many(all).await;
        drop(permits.expect("the semaphore is never closed"));
    }

    /// The number of slots in use by open polls and tasks.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use.load(Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Relaxed);
        let less = |beyond: usize| beyond.checked_sub(1);
        if self.0.beyond.fetch_update(Relaxed, Relaxed, less).is_err() {
            self.0.free.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::{pin::pin, time::Duration};

    async fn is_free(slots: &Slots) -> bool {
        let acquired = tokio::time::timeout(Duration::from_secs(60), slots.acquire()).await;
        acquired.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_slots_than_the_total_can_be_acquired() {
        let slots = Slots::new(2);
        let (one, two) = (slots.acquire().await, slots.acquire().await);
        assert!(!is_free(&slots).await);
        assert_eq!(slots.in_use(), 2);
        drop(one);
        slots.acquire().await;
        assert_eq!(slots.in_use(), 1);
        drop(two);
        slots.all_free().await;
        slots.all_free().await;
        assert_eq!(slots.in_use(), 0);
    }

    #[tokio::test]
    async fn who_waits_until_all_are_free_takes_none() {
        let slots = Slots::new(3);
        let one = slots.acquire().await;
        let mut waiting = pin!(slots.all_free());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(slots.in_use(), 1);
        drop(one);
        waiting.await;
        assert_eq!(slots.in_use(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_adopted_task_gets_a_slot_beyond_the_total_which_is_freed_first() {
        let slots = Slots::new(1);
        let adopted: Vec<_> = (0..3).map(|_| slots.acquire_beyond()).collect();
        assert_eq!(slots.in_use(), 3);
        for (left, slot) in adopted.into_iter().enumerate() {
            assert!(!is_free(&slots).await, "{left}");
            drop(slot);
        }
        assert_eq!(slots.in_use(), 0);
        slots.all_free().await;
        assert!(is_free(&slots).await);
    }
}
