//! Notes that are not written to Redis yet. The notes about one task are merged.

use crate::{store::Note, task::TaskId};
use parking_lot::Mutex;
use std::{collections::HashMap, time::SystemTime};

/// Maximum number of tasks with pending notes. Further notes are lost, which costs little.
const MAX_NOTED_TASKS: usize = 100_000;

/// The pending notes about one task.
#[derive(Clone, Copy, Default)]
pub(crate) struct Noted {
    pub(crate) begun: bool,
    pub(crate) heard: Option<SystemTime>,
    pub(crate) cancel: bool,
}

impl Noted {
    fn merge(&mut self, other: Self) {
        self.begun |= other.begun;
        self.heard = self.heard.max(other.heard);
        self.cancel |= other.cancel;
    }
}

/// The pending notes. See the module.
#[derive(Default)]
pub(crate) struct Notes(Mutex<HashMap<TaskId, Noted>>);

impl Notes {
    pub(crate) fn add(&self, id: TaskId, note: Note) {
        let mut noted = Noted::default();
        match note {
            Note::Begun => noted.begun = true,
            Note::Heard(at) => noted.heard = Some(at),
            Note::CancelRequested => noted.cancel = true,
        }
        self.put(id, noted);
    }

    /// Merges notes about a task with those that are pending.
    pub(crate) fn put(&self, id: TaskId, noted: Noted) {
        let mut notes = self.0.lock();
        if notes.len() < MAX_NOTED_TASKS || notes.contains_key(&id) {
            notes.entry(id).or_default().merge(noted);
        }
    }

    /// Removes and returns the notes about at most `most` tasks.
    pub(crate) fn remove_some(&self, most: usize) -> Vec<(TaskId, Noted)> {
        let mut notes = self.0.lock();
        if notes.len() <= most {
            return notes.drain().collect();
        }
        let ids: Vec<_> = notes.keys().take(most).copied().collect();
        let out = |id| notes.remove(&id).map(|noted| (id, noted));
        ids.into_iter().filter_map(out).collect()
    }
}

/// What Redis answered to the written notes.
#[derive(Default)]
pub(crate) struct Written {
    /// Tasks that another process owns, with their epochs.
    pub(crate) taken: Vec<(TaskId, u64)>,
    /// Whether Redis has lost a record of this process. A replica that became primary did not have it yet.
    pub(crate) missing: bool,
}
