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
use tokio::sync::{Semaphore, watch};

/// The slots of one route. Clones share them.
#[derive(Clone, Debug)]
pub struct Slots(Arc<State>);

#[derive(Debug)]
struct State {
    free: Semaphore,
    total: AtomicUsize,
    /// The number of slots in use beyond the total.
    beyond: AtomicUsize,
    /// The number of slots in use. It is announced when it becomes 0.
    in_use: watch::Sender<usize>,
}

/// The right to have one task in flight.
#[derive(Debug)]
pub struct Slot(Slots);

impl Slots {
    /// Creates `total` slots, all free.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self(Arc::new(State {
            free: Semaphore::new(total),
            total: AtomicUsize::new(total),
            beyond: AtomicUsize::new(0),
            in_use: watch::Sender::new(0),
        }))
    }

    fn slot(&self) -> Slot {
        self.0.in_use.send_if_modified(|in_use| {
            *in_use += 1;
            false
        });
        Slot(self.clone())
    }

    /// Waits for a slot.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses only its place in the line.
    pub async fn acquire(&self) -> Slot {
        let permit = self.0.free.acquire().await;
        permit.expect("the semaphore is never closed").forget();
        self.slot()
    }

    /// A slot for an adopted task, whether one is free or not.
    #[must_use]
    pub fn acquire_beyond(&self) -> Slot {
        match self.0.free.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(_) => {
                self.0.beyond.fetch_add(1, Relaxed);
            }
        }
        self.slot()
    }

    /// Sets the total. If more slots are in use, none is free until the surplus is freed.
    pub fn resize(&self, total: usize) {
        let State { free, beyond, .. } = &*self.0;
        let before = self.0.total.swap(total, Relaxed);
        if let Some(fewer) = before.checked_sub(total) {
            beyond.fetch_add(fewer - free.forget_permits(fewer), Relaxed);
        } else {
            let more = total - before;
            let used = beyond.load(Relaxed).min(more);
            beyond.fetch_sub(used, Relaxed);
            free.add_permits(more - used);
        }
    }

    /// Waits until no slot is in use.
    pub async fn all_free(&self) {
        let mut in_use = self.0.in_use.subscribe();
        // An error would mean that the sender is dropped, but `self` holds it.
        drop(in_use.wait_for(|in_use| *in_use == 0).await);
    }

    /// The number of slots in use by open polls and tasks.
    #[must_use]
    pub fn in_use(&self) -> usize {
        *self.0.in_use.borrow()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let State {
            free,
            beyond,
            in_use,
            ..
        } = &*self.0.0;
        let less = |beyond: usize| beyond.checked_sub(1);
        if beyond.fetch_update(Relaxed, Relaxed, less).is_err() {
            free.add_permits(1);
        }
        in_use.send_if_modified(|in_use| {
            *in_use -= 1;
            *in_use == 0
        });
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
    async fn fewer_slots_are_free_when_the_surplus_is_freed_and_more_at_once() {
        let slots = Slots::new(3);
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(slots.acquire().await);
        }
        slots.resize(1);
        for _ in 0..2 {
            taken.pop();
            assert!(!is_free(&slots).await, "{} are in use", slots.in_use());
        }
        taken.pop();
        taken.push(slots.acquire().await);
        assert!(!is_free(&slots).await);
        slots.resize(2);
        taken.push(slots.acquire().await);
        assert!(!is_free(&slots).await);
        // More than the surplus.
        slots.resize(1);
        slots.resize(3);
        taken.push(slots.acquire().await);
        assert!(!is_free(&slots).await);
        taken.clear();
        slots.all_free().await;
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
