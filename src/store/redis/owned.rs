//! What this process has, as far as it knows: ids alone.
//!
//! Redis says whose a task is. This is what was asked for and what came of it, to tell old news from new, and to find
//! tasks that are this process's without its knowledge: when an answer was lost on the way.

use crate::task::TaskId;
use parking_lot::{Mutex, MutexGuard};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// A command without an answer may be carried out late. So long after the last trouble it has been.
const LATE_COMMAND_WINDOW: Duration = Duration::from_secs(10);

/// See the module. Its size is bounded by the routes' slots and what was adopted.
#[derive(Default)]
pub(crate) struct OwnedTasks {
    /// With the turn in which it came here: each change of owner is one.
    epochs: Mutex<HashMap<TaskId, u64>>,
    /// When an answer to the question for a task was lost, or Redis was last away since.
    needs_resync: Mutex<Option<Instant>>,
}

impl OwnedTasks {
    /// Says that the task is, or is about to be, this process's. False where it is already.
    pub(crate) fn begin(&self, id: TaskId) -> bool {
        let mut epochs = self.epochs();
        let new = !epochs.contains_key(&id);
        epochs.entry(id).or_insert(0);
        new
    }

    /// It is this process's since this turn.
    pub(crate) fn set(&self, id: TaskId, epoch: u64) {
        self.epochs().insert(id, epoch);
    }

    /// It is being removed: nobody can take it any more.
    pub(crate) fn end(&self, id: TaskId) {
        self.set(id, u64::MAX);
    }

    /// It is not, or not any more.
    pub(crate) fn drop(&self, id: TaskId) {
        self.epochs().remove(&id);
    }

    pub(crate) fn has(&self, id: TaskId) -> bool {
        self.epochs().contains_key(&id)
    }

    /// Another took it in this turn. False where that is old news.
    pub(crate) fn lose(&self, id: TaskId, epoch: u64) -> bool {
        let mut epochs = self.epochs();
        let lost = epochs.get(&id).is_some_and(|mine| *mine < epoch);
        if lost {
            epochs.remove(&id);
        }
        lost
    }

    /// A task may have become this process's without its knowledge.
    pub(crate) fn needs_resync(&self) {
        *self.resync_since() = Some(Instant::now());
    }

    /// Redis did not answer: if there is doubt, it lasts.
    pub(crate) fn unavailable(&self) {
        if let Some(since) = &mut *self.resync_since() {
            *since = Instant::now();
        }
    }

    pub(crate) fn is_resync_needed(&self) -> bool {
        self.resync_since().is_some()
    }

    /// Nothing was found that it did not know of.
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
