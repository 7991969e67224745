//! Notes that are yet to be written, one set for each task.

use crate::{store::Note, task::TaskId};
use parking_lot::Mutex;
use std::{collections::HashMap, time::SystemTime};

/// More tasks than this are not noted: a note that is lost costs little.
const MOST: usize = 100_000;

/// What was noted of one task.
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

/// See the module.
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

    /// Adds it to what is there.
    pub(crate) fn put(&self, id: TaskId, noted: Noted) {
        let mut notes = self.0.lock();
        if notes.len() < MOST || notes.contains_key(&id) {
            notes.entry(id).or_default().merge(noted);
        }
    }

    /// Takes out at most so many.
    pub(crate) fn take(&self, most: usize) -> Vec<(TaskId, Noted)> {
        let mut notes = self.0.lock();
        if notes.len() <= most {
            return notes.drain().collect();
        }
        let ids: Vec<_> = notes.keys().take(most).copied().collect();
        let out = |id| notes.remove(&id).map(|noted| (id, noted));
        ids.into_iter().filter_map(out).collect()
    }
}

/// What writing notes showed.
#[derive(Default)]
pub(crate) struct Written {
    /// Tasks that turned out to be another's, with their turn.
    pub(crate) taken: Vec<(TaskId, u64)>,
    /// Redis has lost a record that this process has: the one that took over from it did not know it yet.
    pub(crate) missing: bool,
}
