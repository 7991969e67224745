//! The tasks whose confirm is awaited, and which of them the broker has returned. Pure.

use crate::task::TaskId;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

/// See the module. Bounded by the number of tasks that are being published.
#[derive(Default)]
pub(super) struct Unconfirmed(Mutex<HashMap<TaskId, Arc<Return>>>);

/// Why the broker returned a message, once it has.
type Return = OnceLock<String>;

/// A task whose confirm is awaited. Dropping this ends the wait.
pub(super) struct Awaited<'a> {
    all: &'a Unconfirmed,
    task: TaskId,
    returned: Arc<Return>,
}

impl<'a> Awaited<'a> {
    pub(super) fn begin(all: &'a Unconfirmed, task: TaskId) -> Self {
        let returned = Arc::<Return>::default();
        all.0.lock().insert(task, Arc::clone(&returned));
        Self {
            all,
            task,
            returned,
        }
    }

    /// Why the broker returned the message, if it has.
    pub(super) fn returned(&self) -> Option<String> {
        self.returned.get().cloned()
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        // A later attempt for the same task has an entry of its own.
        let own = |returned: &Arc<Return>| Arc::ptr_eq(returned, &self.returned);
        if all.get(&self.task).is_some_and(own) {
            all.remove(&self.task);
        }
    }
}

impl Unconfirmed {
    /// Whether the task's confirm is awaited. Then its publish fails, because of this return.
    pub(super) fn awaits(&self, task: TaskId, why: &str) -> bool {
        match self.0.lock().get(&task) {
            Some(returned) => {
                // A message is returned once. If it is returned again, the first reason stands.
                drop(returned.set(why.to_owned()));
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_belongs_to_the_task_that_its_message_names() {
        let all = Unconfirmed::default();
        let [one, other, confirmed] = [1, 2, 3].map(|id: u128| TaskId::from(id));
        let [first, second] = [one, other].map(|task| Awaited::begin(&all, task));
        drop(Awaited::begin(&all, confirmed));
        assert!(all.awaits(other, "NO_ROUTE"));
        assert_eq!(first.returned(), None, "though its confirm brought it");
        assert_eq!(second.returned().as_deref(), Some("NO_ROUTE"));
        assert!(!all.awaits(confirmed, "NO_ROUTE"), "too late");
        drop((first, second));
        assert!(all.0.lock().is_empty());
    }

    #[test]
    fn the_end_of_an_attempt_does_not_end_a_later_one_for_the_same_task() {
        let all = Unconfirmed::default();
        let task = TaskId::from(1);
        let [earlier, later] = [(), ()].map(|()| Awaited::begin(&all, task));
        drop(earlier);
        assert!(all.awaits(task, "NO_ROUTE"));
        assert_eq!(later.returned().as_deref(), Some("NO_ROUTE"));
    }
}
