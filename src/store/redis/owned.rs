//! The tasks that this process believes to own: ids with epochs.
//!
//! Redis decides who owns a task. This memory serves two purposes. It tells an outdated message of another process from a new
//! one, by the epoch. It finds tasks that this process owns in Redis and does not know of, because an answer was lost.

use crate::task::TaskId;
use parking_lot::{Mutex, MutexGuard};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// Maximum time after which Redis still executes a command that got no answer.
const LATE_COMMAND_WINDOW: Duration = Duration::from_secs(10);

/// See the module. The routes' slots and the adopted tasks bound its size.
#[derive(Default)]
pub(crate) struct OwnedTasks {
    /// The epoch of each task: the number of its changes of owner when this process became the owner.
    epochs: Mutex<HashMap<TaskId, u64>>,
    /// When an answer to an attempt to become an owner was last lost, or Redis was last unavailable after that; `None` if
    /// this process knows all its tasks.
    needs_resync: Mutex<Option<Instant>>,
}

impl OwnedTasks {
    /// Notes that this process owns the task or is about to own it. False if that was known already.
    pub(crate) fn begin(&self, id: TaskId) -> bool {
        let mut epochs = self.epochs();
        let new = !epochs.contains_key(&id);
        epochs.entry(id).or_insert(0);
        new
    }

    /// Notes that this process owns the task since this epoch.
    pub(crate) fn set(&self, id: TaskId, epoch: u64) {
        self.epochs().insert(id, epoch);
    }

    /// Notes that the record is being removed. No other process can become the owner any more.
    pub(crate) fn end(&self, id: TaskId) {
        self.set(id, u64::MAX);
    }

    /// Notes that this process does not own the task.
    pub(crate) fn drop(&self, id: TaskId) {
        self.epochs().remove(&id);
    }

    pub(crate) fn has(&self, id: TaskId) -> bool {
        self.epochs().contains_key(&id)
    }

    /// Notes that another process became the owner in this epoch. False if the message is outdated.
    pub(crate) fn lost_to_other(&self, id: TaskId, epoch: u64) -> bool {
        let mut epochs = self.epochs();
        let lost = epochs.get(&id).is_some_and(|mine| *mine < epoch);
        if lost {
            epochs.remove(&id);
        }
        lost
    }

    /// Notes that this process may own a task that it does not know of.
    pub(crate) fn needs_resync(&self) {
        *self.resync_since() = Some(Instant::now());
    }

    /// Notes that Redis did not answer. A pending resync stays pending for longer.
    pub(crate) fn unavailable(&self) {
        if let Some(since) = &mut *self.resync_since() {
            *since = Instant::now();
        }
    }

    pub(crate) fn is_resync_needed(&self) -> bool {
        self.resync_since().is_some()
    }

    /// Notes that a resync found no unknown task. The resync stays pending until no late command can be executed any more.
    pub(crate) fn found_nothing(&self) {
        let mut needs_resync = self.resync_since();
        *needs_resync = needs_resync.filter(|since| since.elapsed() < LATE_COMMAND_WINDOW);
    }

    fn epochs(&self) -> MutexGuard<'_, HashMap<TaskId, u64>> {
        self.epochs.lock()
    }

    fn resync_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.needs_resync.lock()
    }
}
