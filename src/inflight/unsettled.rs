//! The outcomes that AWS has not taken yet. They are held here only for a broker that keeps no messages, and
//! if a person said them.

use super::{
    lifecycle::State,
    table::{InflightTable, InflightTask, TaskHandle},
};
use crate::task::{Outcome, TaskId};
use std::sync::Arc;

impl InflightTable {
    /// Holds the outcome of a task that is being settled, unless the store has it, or has no record to keep it in.
    /// True if it is held.
    pub fn hold_outcome(&self, id: TaskId, outcome: Arc<Outcome>) -> bool {
        if let Some(entry) = self.table().open.get_mut(&id)
            && entry.recorded
            && !entry.outcome_kept
        {
            entry.outcome = Some(outcome);
            return true;
        }
        false
    }

    /// The outcome of a task that is being settled; `None` if the store has it, or if the task has ended.
    #[must_use]
    pub fn unkept_outcome(&self, id: TaskId) -> Option<Arc<Outcome>> {
        self.table().open.get(&id)?.outcome.clone()
    }

    /// The tasks whose outcomes the store does not have.
    #[must_use]
    pub fn unkept(&self) -> Vec<TaskId> {
        let table = self.table();
        let unkept = table.open.iter();
        let unkept = unkept.filter(|(_, entry)| entry.outcome.is_some());
        unkept.map(|(id, _)| *id).collect()
    }

    /// Notes that the store has the outcome.
    pub fn on_outcome_kept(&self, id: TaskId) {
        if let Some(entry) = self.table().open.get_mut(&id) {
            entry.outcome = None;
            entry.outcome_kept = true;
        }
    }

    /// The number of tasks whose outcomes the store has and AWS has not.
    #[must_use]
    pub fn kept(&self) -> usize {
        let kept = |entry: &&InflightTask| entry.outcome_kept;
        self.table().open.values().filter(kept).count()
    }

    /// What settling a restored task needs whose outcome the store has; `None` if the task has ended.
    #[must_use]
    pub fn restored(&self, id: TaskId) -> Option<TaskHandle> {
        let table = self.table();
        let entry = table.open.get(&id)?;
        (entry.state == State::Settling).then(|| entry.handle(id))
    }
}
