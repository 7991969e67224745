//! The thread that reads and writes the file: what makes a group, and what happens when the disk fails.

use super::{
    change::{Change, Changes, Insert},
    health::Health,
    ledger::Ledger,
    open,
};
use crate::{
    backoff::Backoff,
    store::{Record, StoreError},
    task::{Task, TaskId},
};
use anyhow::Context;
use std::{mem, ops::Range, path::PathBuf, sync::Arc, thread, time::Duration};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

/// How long a change waits for an insert to ride along with.
const LAZY: Duration = Duration::from_millis(100);

/// How long inserts wait for others, where the last group had more than one.
const LINGER: Duration = Duration::from_millis(10);

/// So many inserts wait for no more.
const ENOUGH: usize = 64;

/// What the writer is asked to do.
pub(super) enum Ask {
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
pub(super) struct Writer {
    path: PathBuf,
    health: Arc<Health>,
    /// `None` after a failure, until the file could be opened again.
    ledger: Option<Ledger>,
    inserts: Vec<Insert>,
    /// Bounded by the tasks in flight, of which each has one at most.
    changes: Changes,
    /// When the group is to be written, or the file to be opened again.
    due: Option<Instant>,
    /// How many inserts the last group had.
    last: usize,
    /// The numbers of the tasks that were there at the start and were not adopted yet.
    orphans: Range<u64>,
    backoff: Backoff,
}

impl Writer {
    /// Starts the thread. It ends when it is closed, or when nobody can ask it any more.
    pub(super) fn start(
        path: PathBuf,
        ledger: Ledger,
        health: Arc<Health>,
        asked: mpsc::Receiver<Ask>,
    ) -> anyhow::Result<()> {
        let writer = Self {
            path,
            health,
            orphans: 0..ledger.next(),
            ledger: Some(ledger),
            inserts: Vec::new(),
            changes: Changes::new(),
            due: None,
            last: 0,
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
        };
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

    async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        let mut asks = Vec::new();
        loop {
            let some = asked.recv_many(&mut asks, ENOUGH);
            // What is there is taken, though the group be due.
            let taken = match self.due {
                Some(due) => timeout_at(due, some).await,
                None => Ok(some.await),
            };
            if taken == Ok(0) {
                return self.write();
            }
            if taken.is_err() || self.inserts.len() >= 16 * ENOUGH {
                self.write();
            }
            for ask in asks.drain(..) {
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
        }
    }

    fn insert(&mut self, insert: Insert) {
        if self.ledger.is_none() {
            let _ = insert.done.send(Err(self.unavailable()));
            return;
        }
        self.inserts.push(insert);
        let lingers = self.last > 1 && self.inserts.len() < ENOUGH;
        self.within(if lingers { LINGER } else { Duration::ZERO });
    }

    fn change(&mut self, id: TaskId, change: Change) {
        self.changes.entry(id).or_default().merge(&change);
        if self.ledger.is_some() {
            self.within(LAZY);
        }
    }

    /// The group is to be written within this time.
    fn within(&mut self, time: Duration) {
        let then = Instant::now() + time;
        self.due = Some(self.due.map_or(then, |due| due.min(then)));
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
        self.last = inserts.len();
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
                self.backoff.reset();
                Ok(())
            }
            Err(error) => Err(self.fail(&error)),
        };
        for insert in inserts {
            let _ = insert
                .done
                .send(outcome.clone().map_err(StoreError::Unavailable));
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
        self.health.failure(Some(failure));
        self.due = Some(Instant::now() + self.backoff.next_wait());
    }

    fn open_again(&mut self) {
        match self.health.watch(|| open::again(&self.path)) {
            Ok(ledger) => {
                info!(path = %self.path.display(), records = ledger.len(), "token store opened again");
                self.health.failure(None);
                self.ledger = Some(ledger);
                self.within(Duration::ZERO);
            }
            Err(failure) => self.later(failure),
        }
    }

    fn unavailable(&self) -> StoreError {
        let failure = self.health.trouble();
        StoreError::Unavailable(failure.unwrap_or_else(|| "it is being opened again".to_owned()))
    }

    fn read<T>(
        &mut self,
        read: impl FnOnce(&Ledger, &Changes) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let ledger = self.ledger.as_ref().ok_or_else(|| self.unavailable())?;
        let read = self.health.watch(|| read(ledger, &self.changes));
        read.map_err(|error| StoreError::Unavailable(self.fail(&error)))
    }

    /// See [`crate::store::Store::adopt`].
    pub(super) fn adopt(&mut self, most: usize) -> Result<Vec<Record>, StoreError> {
        let orphans = self.orphans.clone();
        let (page, next) = self.read(|ledger, changes| ledger.page(orphans, most, changes))?;
        self.orphans.start = next;
        Ok(page)
    }

    /// See [`crate::store::Store::message`].
    pub(super) fn message(&mut self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.read(|ledger, changes| ledger.message(id, changes))
    }

    /// See [`crate::store::Store::ended`].
    pub(super) fn ended(&mut self, most: usize) -> Result<Vec<TaskId>, StoreError> {
        self.read(|ledger, changes| {
            let mut ended: Vec<_> = removed(ledger, changes).take(most).collect();
            ended.extend(ledger.ended(most - ended.len())?);
            Ok(ended)
        })
    }

    /// See [`crate::store::Store::count`].
    pub(super) fn count(&mut self) -> Result<usize, StoreError> {
        self.read(|ledger, changes| Ok(ledger.len() - removed(ledger, changes).count()))
    }
}

/// The tasks that have ended since the last group was written.
fn removed(ledger: &Ledger, changes: &Changes) -> impl Iterator<Item = TaskId> {
    let removed = changes
        .iter()
        .filter(|(id, change)| change.removes() && ledger.has(**id));
    removed.map(|(id, _)| *id)
}
