//! The thread that reads and writes the file: what makes a group, and what happens when the disk fails.
//!
//! A group is whatever was asked for while the group before it was written. An insert that finds the thread idle is written
//! at once, alone. The slower the disk is, the larger are the groups. No timer delays an insert.

use super::{
    change::{Change, Changes, Insert},
    health::Health,
    ledger::Ledger,
    open,
};
use crate::{
    store::{Record, StoreError},
    task::{Task, TaskId},
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

/// Maximum number of requests that wait to be begun. A caller that finds no room waits.
pub(super) const QUEUE: usize = 1024;

/// Maximum delay of a change that no insert takes along.
const MAX_CHANGE_DELAY: Duration = Duration::from_millis(100);

/// What the writer is asked to do.
pub(crate) enum Ask {
    /// To insert a task, and to say when it is on the disk.
    Insert(Insert),
    /// To change a record, soon.
    Change(TaskId, Change),
    /// To answer something.
    Question(Box<dyn FnOnce(&mut Writer) + Send>),
    /// To write what is not yet written, and let go of the file.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// See the module.
pub(crate) struct Writer {
    path: PathBuf,
    instance: String,
    health: Arc<Health>,
    /// `None` after a failure, until the file could be opened again.
    ledger: Option<Ledger>,
    inserts: Vec<Insert>,
    /// Bounded by the tasks in flight, of which each has one at most.
    changes: Changes,
    /// When the changes are to be written, though no insert came; or, after a failure, the file to be opened again.
    due: Option<Instant>,
    backoff: Backoff,
}

impl Writer {
    /// Starts the thread. It ends when it is closed, or when nobody can ask it any more.
    pub(crate) fn start(
        path: PathBuf,
        ledger: Ledger,
        health: Arc<Health>,
        asked: mpsc::Receiver<Ask>,
    ) -> anyhow::Result<()> {
        let writer = Self::new(path, ledger, health);
        // Its own, so that it writes to the end even where the bridge's is shut down.
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
                        // Nobody waits for it where the disk was too slow.
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
            // Who asks again did not wait for a slow disk to the end.
            Some(ledger) if ledger.has(insert.id) => return answer(insert, Ok(())),
            Some(_) => {}
        }
        self.inserts.push(insert);
    }

    fn change(&mut self, id: TaskId, change: Change) {
        self.changes.entry(id).or_default().merge(&change);
        self.due
            .get_or_insert_with(|| Instant::now() + MAX_CHANGE_DELAY);
    }

    /// Writes the group. Where the file can't be used, tries to open it again.
    fn write(&mut self) {
        self.due = None;
        let Some(ledger) = &mut self.ledger else {
            return self.open_again();
        };
        // Who does not wait any more will try again, or has given the task up.
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

    /// The file is of no more use as it is open. The changes are kept, and who inserts is told.
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

    /// Why there is no ledger.
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

    /// At most so many records with these numbers, and the number to go on with.
    pub(crate) fn page(
        &mut self,
        numbers: Range<u64>,
        most: usize,
    ) -> Result<(Vec<Record>, u64), StoreError> {
        self.read(|ledger, changes| ledger.page(numbers, most, changes))
    }

    /// See [`crate::store::Store::message`].
    pub(crate) fn message(&mut self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.read(|ledger, changes| ledger.message(id, changes))
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

/// Who inserted may have stopped waiting.
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
