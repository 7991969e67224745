//! What is to be written of a task.

use crate::{
    store::{StoreError, codec::StoredRecord},
    task::{TaskId, Timeouts},
};
use std::collections::HashMap;
use tokio::sync::oneshot;

/// A new task, as it is to be written.
pub(crate) struct Insert {
    pub(crate) id: TaskId,
    pub(crate) record: Vec<u8>,
    pub(crate) message: Vec<u8>,
    /// Who waits until it is on the disk.
    pub(crate) done: oneshot::Sender<Result<(), StoreError>>,
}

/// What became of tasks since their records were last written.
pub(crate) type Changes = HashMap<TaskId, Change>;

/// What became of one.
#[derive(Debug, Default)]
pub(crate) struct Change {
    confirmed: Option<Timeouts>,
    begun: bool,
    removed: bool,
}

impl Change {
    pub(crate) fn confirmed(timeouts: Timeouts) -> Self {
        Self {
            confirmed: Some(timeouts),
            ..Self::default()
        }
    }

    pub(crate) fn begun() -> Self {
        Self {
            begun: true,
            ..Self::default()
        }
    }

    pub(crate) fn removed() -> Self {
        Self {
            removed: true,
            ..Self::default()
        }
    }

    /// The task has ended.
    pub(crate) fn removes(&self) -> bool {
        self.removed
    }

    /// The broker has its message.
    pub(crate) fn confirms(&self) -> bool {
        self.confirmed.is_some()
    }

    /// Changes a record that is not removed.
    pub(super) fn apply(&self, record: &mut StoredRecord<'_>) {
        if let Some(timeouts) = self.confirmed {
            record.confirm(timeouts);
        }
        if self.begun {
            record.begin();
        }
    }

    /// Adds what came later.
    pub(crate) fn merge(&mut self, later: &Self) {
        self.confirmed = later.confirmed.or(self.confirmed);
        self.begun |= later.begun;
        self.removed |= later.removed;
    }
}
