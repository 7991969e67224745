//! The thread that reads and writes the file: it forms the groups, and opens the file again after a failure of the
//! disk.
//!
//! A group is everything that was requested while the previous group was written. If the thread is idle, an insert is
//! written at once, alone. The slower the disk is, the larger the groups are. No timer delays an insert.

use super::{
    change::{Change, Changes, Insert},
    health::Health,
    ledger::Ledger,
    open,
};
use crate::{
    store::{Record, StoreError},
    task::{Outcome, Task, TaskId},
    util::{
        Backoff,
        crash_point::{CrashPoint, crash_point},
    },
};
use anyhow::Context;
use std::{mem, ops::Range, path::PathBuf, sync::Arc, thread, time::Duration};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

/// Maximum number of waiting requests. A caller waits if the queue is full.
pub(super) const QUEUE: usize = 1024;

/// Maximum delay of a change if no insert comes.
const MAX_CHANGE_DELAY: Duration = Duration::from_millis(100);

/// A request to the writer.
pub(crate) enum Ask {
    /// Insert a task, and answer when it is on the disk.
    Insert(Insert),
    /// Change a record with the next group.
    Change(TaskId, Change),
    /// Answer a question.
    Question(Box<dyn FnOnce(&mut Writer) + Send>),
    /// Write all that is not written yet, and close the file.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// See the module.
pub(crate) struct Writer {
    path: PathBuf,
    instance: String,
    health: Arc<Health>,
    /// `None` after a failure, until the file is open again.
    ledger: Option<Ledger>,
    inserts: Vec<Insert>,
    /// Bounded by the number of tasks in flight, because each task has at most one entry.
    changes: Changes,
    /// When the changes are written even if no insert comes. After a failure: when the file is opened again.
    due: Option<Instant>,
    backoff: Backoff,
}

impl Writer {
    /// Starts the thread. The thread ends when the store is closed or dropped.
    pub(crate) fn start(
        path: PathBuf,
        ledger: Ledger,
        health: Arc<Health>,
        asked: mpsc::Receiver<Ask>,
    ) -> anyhow::Result<()> {
        let writer = Self::new(path, ledger, health);
        // The thread has its own runtime, so that it can finish its writes when the bridge's runtime is shut down.
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.context("can't start the token store's thread")?;
        let run = move || runtime.block_on(writer.run(asked));
        let started = thread::Builder::new()
            .name("token-store".to_owned())
            .spawn(run);
        started.context("can't start the token store's thread")?;
        Ok(())
    }

    fn new(path: PathBuf, ledger: Ledger, health: Arc<Health>) -> Self {
        Self {
            path,
            instance: ledger.instance.clone(),
            health,
            ledger: Some(ledger),
            inserts: Vec::new(),
            changes: Changes::new(),
            due: None,
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
        }
    }

    async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        let mut asks = Vec::new();
        loop {
            let some = asked.recv_many(&mut asks, QUEUE);
            let taken = match self.due {
                Some(due) => timeout_at(due, some).await.ok(),
                None => Some(some.await),
            };
            if taken == Some(0) {
                return self.write();
            }
            for ask in asks.drain(..) {
                crash_point(CrashPoint::StoreLoop);
                match ask {
                    Ask::Insert(insert) => self.insert(insert),
                    Ask::Change(id, change) => self.change(id, change),
                    Ask::Question(question) => question(&mut self),
                    Ask::Close(closed) => {
                        self.write();
                        drop(self);
                        drop(asked);
                        // The caller may have stopped waiting for a slow disk.
                        let _ = closed.send(Ok(()));
                        return;
                    }
                }
            }
            let is_due = self.due.is_some_and(|due| due <= Instant::now());
            if is_due || !self.inserts.is_empty() {
                self.write();
            }
        }
    }

    fn insert(&mut self, insert: Insert) {
        match &self.ledger {
            None => return answer(insert, Err(self.failure())),
            // The caller's first attempt ended at its timeout, and was written after that.
            Some(ledger) if ledger.has(insert.id) => return answer(insert, Ok(())),
            Some(_) => {}
        }
        self.inserts.push(insert);
    }

    fn change(&mut self, id: TaskId, change: Change) {
        self.changes.entry(id).or_default().merge(change);
        self.due
            .get_or_insert_with(|| Instant::now() + MAX_CHANGE_DELAY);
    }

    /// Writes the group. If the file can't be used, this tries to open it again.
    fn write(&mut self) {
        self.due = None;
        let Some(ledger) = &mut self.ledger else {
            return self.open_again();
        };
        // A caller that has stopped waiting tries again, or the task has ended.
        self.inserts.retain(|insert| !insert.done.is_closed());
        let inserts = mem::take(&mut self.inserts);
        let changes = self.changes.keys().any(|id| ledger.has(*id));
        let written = if inserts.is_empty() && !changes {
            Ok(())
        } else {
            self.health.flushed();
            self.health.watch(|| ledger.write(&inserts, &self.changes))
        };
        let outcome = match written {
            Ok(()) => {
                self.changes.clear();
                if !inserts.is_empty() {
                    self.backoff.reset();
                }
                Ok(())
            }
            Err(error) => Err(self.fail(&error)),
        };
        for insert in inserts {
            answer(insert, outcome.clone());
        }
    }

    /// Handles a failure of the file, which must be opened again. The changes are kept. The callers of inserts get the
    /// error.
    fn fail(&mut self, error: &redb::Error) -> String {
        let failure = open::wrong(&self.path, error);
        warn!(
            error = failure,
            "the token store failed; it will be opened again"
        );
        self.later(failure.clone());
        failure
    }

    fn later(&mut self, failure: String) {
        self.ledger = None;
        for insert in self.inserts.drain(..) {
            answer(insert, Err(failure.clone()));
        }
        self.health.failure(Some(failure));
        self.due = Some(Instant::now() + self.backoff.next_wait());
    }

    fn open_again(&mut self) {
        match self
            .health
            .watch(|| open::again(&self.path, &self.instance))
        {
            Ok(ledger) => {
                info!(path = %self.path.display(), records = ledger.len(), "token store opened again");
                self.health.failure(None);
                self.ledger = Some(ledger);
                self.write();
            }
            Err(failure) => self.later(failure),
        }
    }

    /// Why the file is not open.
    fn failure(&self) -> String {
        self.health.unavailable().unwrap_or_default()
    }

    fn read<T>(
        &mut self,
        read: impl FnOnce(&Ledger, &Changes) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let Some(ledger) = &self.ledger else {
            return Err(StoreError::Unavailable(self.failure()));
        };
        let read = self.health.watch(|| read(ledger, &self.changes));
        read.map_err(|error| StoreError::Unavailable(self.fail(&error)))
    }

    /// See [`crate::store::Store::messages_lost`]. Returns when that is on the disk.
    pub(crate) fn lose_messages(&mut self, ids: &[TaskId]) -> Result<(), StoreError> {
        if self.ledger.is_some() {
            for id in ids {
                self.change(*id, Change::message_lost());
            }
            self.write();
        }
        match self.ledger {
            Some(_) => Ok(()),
            None => Err(StoreError::Unavailable(self.failure())),
        }
    }

    /// At most `most` records with these numbers, and the number at which the next page begins.
    pub(crate) fn page(
        &mut self,
        numbers: Range<u64>,
        most: usize,
    ) -> Result<(Vec<Record>, u64), StoreError> {
        let page = self.read(|ledger, changes| ledger.page(numbers, most, changes))?;
        for (id, why) in page.skipped {
            let place = format!("the record of task {id}");
            self.health.unreadable.note(&place, &why);
        }
        Ok((page.records, page.next))
    }

    /// See [`crate::store::Store::message`].
    pub(crate) fn message(&mut self, id: TaskId) -> Result<Option<Task>, StoreError> {
        let unpublished = |record: &Record| !record.published;
        self.read(|ledger, changes| ledger.message(id, changes, unpublished))?
    }

    /// See [`crate::store::Store::copy`].
    pub(crate) fn copy(&mut self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.read(|ledger, changes| ledger.message(id, changes, Record::may_be_lost))?
    }

    /// See [`crate::store::Store::kept_outcome`].
    pub(crate) fn kept_outcome(&mut self, id: TaskId) -> Result<Option<Outcome>, StoreError> {
        self.read(|ledger, changes| ledger.kept_outcome(id, changes))
    }

    /// See [`crate::store::Store::ended`].
    pub(crate) fn ended(&mut self, most: usize) -> Result<Vec<TaskId>, StoreError> {
        self.read(|ledger, changes| {
            let mut ended: Vec<_> = removed(ledger, changes).take(most).collect();
            ended.extend(ledger.ended(most - ended.len())?);
            Ok(ended)
        })
    }

    /// See [`crate::store::Store::count`].
    pub(crate) fn count(&mut self) -> Result<usize, StoreError> {
        self.read(|ledger, changes| Ok(ledger.len() - removed(ledger, changes).count()))
    }
}

/// Answers an insert. Its caller may have stopped waiting.
fn answer(insert: Insert, outcome: Result<(), String>) {
    let _ = insert.done.send(outcome.map_err(StoreError::Unavailable));
}

/// The tasks that have ended since the last group was written.
fn removed(ledger: &Ledger, changes: &Changes) -> impl Iterator<Item = TaskId> {
    let removed = changes
        .iter()
        .filter(|(id, change)| change.removes() && ledger.has(**id));
    removed.map(|(id, _)| *id)
}

#[cfg(test)]
mod tests;
