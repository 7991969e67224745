//! What the writer is asked to write: new tasks, and changes of their records.

use crate::{
    store::{StoreError, codec::StoredRecord},
    task::{TaskId, Timeouts},
};
use std::collections::HashMap;
use tokio::sync::oneshot;

/// A new task in its stored form.
pub(crate) struct Insert {
    pub(crate) id: TaskId,
    pub(crate) record: Vec<u8>,
    pub(crate) message: Vec<u8>,
    /// Receives the result once the task is on the disk.
    pub(crate) done: oneshot::Sender<Result<(), StoreError>>,
}

/// The changes of records that are not yet written, one for each task.
pub(crate) type Changes = HashMap<TaskId, Change>;

/// All changes of one record that are not yet written.
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

    /// Whether the record is to be removed, because the task has ended.
    pub(crate) fn removes(&self) -> bool {
        self.removed
    }

    /// Whether the message is to be removed, because the broker has confirmed it.
    pub(crate) fn confirms(&self) -> bool {
        self.confirmed.is_some()
    }

    /// Applies the change to a record that is not removed.
    pub(super) fn apply(&self, record: &mut StoredRecord<'_>) {
        if let Some(timeouts) = self.confirmed {
            record.confirm(timeouts);
        }
        if self.begun {
            record.begin();
        }
    }

    /// Adds a later change.
    pub(crate) fn merge(&mut self, later: &Self) {
        self.confirmed = later.confirmed.or(self.confirmed);
        self.begun |= later.begun;
        self.removed |= later.removed;
    }
}
