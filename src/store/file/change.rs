//! What is to be written of a task.

use crate::{
    store::{StoreError, format::StoredRecord},
    task::{TaskId, Timeouts},
};
use std::collections::HashMap;
use tokio::sync::oneshot;

/// A new task, as it is to be written.
pub(super) struct Insert {
    pub(super) id: TaskId,
    pub(super) record: Vec<u8>,
    pub(super) message: Vec<u8>,
    /// Who waits until it is on the disk.
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// What became of tasks since their records were last written.
pub(super) type Changes = HashMap<TaskId, Change>;

/// What became of one.
#[derive(Debug, Default)]
pub(super) struct Change {
    confirmed: Option<Timeouts>,
    begun: bool,
    removed: bool,
}

impl Change {
    pub(super) fn confirmed(timeouts: Timeouts) -> Self {
        Self {
            confirmed: Some(timeouts),
            ..Self::default()
        }
    }

    pub(super) fn begun() -> Self {
        Self {
            begun: true,
            ..Self::default()
        }
    }

    pub(super) fn removed() -> Self {
        Self {
            removed: true,
            ..Self::default()
        }
    }

    /// The task has ended.
    pub(super) fn removes(&self) -> bool {
        self.removed
    }

    /// The broker has its message.
    pub(super) fn confirms(&self) -> bool {
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
    pub(super) fn merge(&mut self, later: &Self) {
        self.confirmed = later.confirmed.or(self.confirmed);
        self.begun |= later.begun;
        self.removed |= later.removed;
    }
}
