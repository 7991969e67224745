//! What the writer is asked to write: new tasks, and changes of their records.

use crate::{
    store::{Note, StoreError, codec::StoredRecord},
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
    /// Whether the message was lost after the confirm.
    lost: bool,
    learnt: Option<Timeouts>,
    failed_deliveries: Option<u32>,
    outcome: Option<Vec<u8>>,
    begun: bool,
    released: bool,
    removed: bool,
}

impl Change {
    pub(crate) fn confirmed(timeouts: Timeouts) -> Self {
        Self {
            confirmed: Some(timeouts),
            ..Self::default()
        }
    }

    pub(crate) fn message_lost() -> Self {
        Self {
            lost: true,
            ..Self::default()
        }
    }

    /// The change that a note makes; `None` if this store does not keep the note.
    pub(crate) fn noted(note: Note) -> Option<Self> {
        let none = Self::default();
        Some(match note {
            Note::Begun => Self {
                begun: true,
                ..none
            },
            Note::Learnt(timeouts) => Self {
                learnt: Some(timeouts),
                ..none
            },
            Note::FailedDeliveries(count) => Self {
                failed_deliveries: Some(count),
                ..none
            },
            Note::Released => Self {
                released: true,
                ..none
            },
            Note::Heard(_) | Note::CancelRequested => return None,
        })
    }

    /// The outcome, in its stored form, that is to be kept in place of the message.
    pub(crate) fn outcome(text: String) -> Self {
        Self {
            outcome: Some(text.into_bytes()),
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

    /// Whether the message may be needed no longer.
    pub(crate) fn may_drop_message(&self) -> bool {
        self.confirmed.is_some() || self.begun || self.released
    }

    /// The outcome that replaces the message.
    pub(crate) fn kept_outcome(&self) -> Option<&[u8]> {
        self.outcome.as_deref()
    }

    /// Applies the change to a record that is not removed.
    pub(super) fn apply(&self, record: &mut StoredRecord<'_>) {
        if let Some(timeouts) = self.confirmed {
            record.confirm(timeouts);
        }
        if let Some(timeouts) = self.learnt {
            record.learn(timeouts);
        }
        if let Some(count) = self.failed_deliveries {
            record.fail_deliveries(count);
        }
        if self.begun {
            record.begin();
        }
        if self.lost {
            record.lose_message();
        }
        if self.released {
            record.release();
        }
        if self.outcome.is_some() {
            record.keep_outcome();
        }
    }

    /// Adds a later change.
    pub(crate) fn merge(&mut self, later: Self) {
        self.lost = later.lost || (self.lost && later.confirmed.is_none());
        self.confirmed = later.confirmed.or(self.confirmed);
        self.learnt = later.learnt.or(self.learnt);
        self.failed_deliveries = later.failed_deliveries.or(self.failed_deliveries);
        self.outcome = later.outcome.or(self.outcome.take());
        self.begun |= later.begun;
        self.released |= later.released;
        self.removed |= later.removed;
    }
}
