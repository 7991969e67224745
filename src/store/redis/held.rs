//! What this process has, as far as it knows: ids alone.
//!
//! Redis says whose a task is. This is what was asked for and what came of it, to tell old news from new, and to find
//! tasks that are this process's without its knowledge: when an answer was lost on the way.

use crate::task::TaskId;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A command without an answer may be carried out late. So long after the last trouble it has been.
const DOUBTFUL: Duration = Duration::from_secs(10);

/// See the module. Its size is bounded by the routes' slots and what was adopted.
#[derive(Default)]
pub(crate) struct Held {
    /// With the turn in which it came here: each change of owner is one.
    turns: Mutex<HashMap<TaskId, u64>>,
    /// When an answer to the question for a task was lost, or Redis was last away since.
    doubt: Mutex<Option<Instant>>,
}

impl Held {
    /// Says that the task is, or is about to be, this process's. False where it is already.
    pub(crate) fn begin(&self, id: TaskId) -> bool {
        let mut turns = self.turns();
        let new = !turns.contains_key(&id);
        turns.entry(id).or_insert(0);
        new
    }

    /// It is this process's since this turn.
    pub(crate) fn set(&self, id: TaskId, turn: u64) {
        self.turns().insert(id, turn);
    }

    /// It is being removed: nobody can take it any more.
    pub(crate) fn end(&self, id: TaskId) {
        self.set(id, u64::MAX);
    }

    /// It is not, or not any more.
    pub(crate) fn drop(&self, id: TaskId) {
        self.turns().remove(&id);
    }

    pub(crate) fn has(&self, id: TaskId) -> bool {
        self.turns().contains_key(&id)
    }

    /// Another took it in this turn. False where that is old news.
    pub(crate) fn lose(&self, id: TaskId, turn: u64) -> bool {
        let mut turns = self.turns();
        let lost = turns.get(&id).is_some_and(|mine| *mine < turn);
        if lost {
            turns.remove(&id);
        }
        lost
    }

    /// A task may have become this process's without its knowledge.
    pub(crate) fn doubt(&self) {
        *self.doubted() = Some(Instant::now());
    }

    /// Redis did not answer: if there is doubt, it lasts.
    pub(crate) fn trouble(&self) {
        if let Some(since) = &mut *self.doubted() {
            *since = Instant::now();
        }
    }

    pub(crate) fn is_in_doubt(&self) -> bool {
        self.doubted().is_some()
    }

    /// Nothing was found that it did not know of.
    pub(crate) fn found_nothing(&self) {
        let mut doubt = self.doubted();
        *doubt = doubt.filter(|since| since.elapsed() < DOUBTFUL);
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<TaskId, u64>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doubted(&self) -> MutexGuard<'_, Option<Instant>> {
        self.doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
