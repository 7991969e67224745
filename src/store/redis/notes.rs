//! Notes that are not written to Redis yet. The notes about one task are merged.

use crate::{
    store::Note,
    task::{TaskId, Timeouts},
};
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
    pub(crate) released: bool,
    pub(crate) failed_deliveries: Option<u32>,
    pub(crate) learnt: Option<Timeouts>,
}

impl Noted {
    /// Adds later notes.
    fn merge(&mut self, later: Self) {
        self.begun |= later.begun;
        self.heard = self.heard.max(later.heard);
        self.cancel |= later.cancel;
        self.released |= later.released;
        self.failed_deliveries = later.failed_deliveries.or(self.failed_deliveries);
        self.learnt = later.learnt.or(self.learnt);
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
            Note::Learnt(timeouts) => noted.learnt = Some(timeouts),
            Note::FailedDeliveries(count) => noted.failed_deliveries = Some(count),
            Note::Released => noted.released = true,
        }
        self.put(id, noted);
    }

    /// Merges notes about a task with the older ones that are pending.
    fn put(&self, id: TaskId, noted: Noted) {
        self.with(id, |pending| pending.merge(noted));
    }

    /// Puts notes back that could not be written. Pending notes about the same task are newer.
    pub(crate) fn put_back(&self, id: TaskId, mut noted: Noted) {
        self.with(id, |pending| {
            noted.merge(*pending);
            *pending = noted;
        });
    }

    fn with(&self, id: TaskId, act: impl FnOnce(&mut Noted)) {
        let mut notes = self.0.lock();
        if notes.len() < MAX_NOTED_TASKS || notes.contains_key(&id) {
            act(notes.entry(id).or_default());
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
