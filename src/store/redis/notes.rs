//! Notes that are yet to be written, one set for each task.

use super::{RedisStore, format, scripts};
use crate::{store::Note, task::TaskId};
use futures_util::future::join_all;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// More tasks than this are not noted: a note that is lost costs little.
const MOST: usize = 100_000;

/// What was noted of one task.
#[derive(Clone, Copy, Default)]
pub(super) struct Noted {
    pub(super) begun: bool,
    pub(super) heard: Option<SystemTime>,
    pub(super) cancel: bool,
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
pub(super) struct Notes(Mutex<HashMap<TaskId, Noted>>);

impl Notes {
    pub(super) fn add(&self, id: TaskId, note: Note) {
        let mut noted = Noted::default();
        match note {
            Note::Begun => noted.begun = true,
            Note::Heard(at) => noted.heard = Some(at),
            Note::CancelRequested => noted.cancel = true,
        }
        self.put(id, noted);
    }

    /// Adds it to what is there.
    pub(super) fn put(&self, id: TaskId, noted: Noted) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < MOST || notes.contains_key(&id) {
            notes.entry(id).or_default().merge(noted);
        }
    }

    /// Takes out at most so many.
    pub(super) fn take(&self, most: usize) -> Vec<(TaskId, Noted)> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
pub(super) struct Written {
    /// Tasks that turned out to be another's, with their turn.
    pub(super) taken: Vec<(TaskId, u64)>,
    /// Redis has lost a record that this process has: the one that took over from it did not know it yet.
    pub(super) missing: bool,
}

impl RedisStore {
    /// Writes notes down. What can't be written is kept.
    pub(super) async fn write_notes(&self, most: usize) -> Written {
        let notes = self.notes.take(most);
        let write = async |(id, noted): (TaskId, Noted)| {
            let flag = |set: bool| if set { "1" } else { "" };
            let script = &scripts::NOTE;
            let mut script = script.key(self.keys.task(id));
            script
                .arg(flag(noted.begun))
                .arg(format::moment(noted.heard))
                .arg(flag(noted.cancel));
            let answer: Result<Vec<String>, _> = self.connection.run(&script).await;
            let answer = answer.inspect_err(|_| self.notes.put(id, noted)).ok()?;
            Some((id, answer))
        };
        let mut written = Written::default();
        for (id, answer) in join_all(notes.into_iter().map(write))
            .await
            .into_iter()
            .flatten()
        {
            match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["noted", owner, turn] if owner != self.owner => {
                    let turn = turn.parse().unwrap_or_default();
                    written.taken.push((id, turn));
                }
                ["ended"] => written.taken.push((id, u64::MAX)),
                ["unknown"] => written.missing |= self.held.has(id),
                _ => {}
            }
        }
        written
    }
}
