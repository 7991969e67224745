//! The store in one file: an embedded database that survives a crash of the process. Only one process can use it at a
//! time.
//!
//! One thread (`writer`) does all reading and writing. It writes all requests that came in meanwhile in one
//! transaction, which costs one flush of the disk. An insert waits for its transaction. All other changes are written
//! with the next transaction, at most a tenth of a second later.
//!
//! | File | What it owns |
//! |---|---|
//! | `open` | creates and opens the file, and explains what is wrong with it |
//! | `ledger` | the tables, and one transaction on them |
//! | `change` | what the writer is asked to write |
//! | `health` | whether the file can be used |
//! | `writer` | the thread: forms the groups, and opens the file again after a failure of the disk |

use super::{
    change::{Change, Insert},
    health::Health,
    open,
    writer::{Ask, QUEUE, Writer},
};
use crate::{
    store::{Lifetime, Note, OwnRoute, Record, Shared, Store, StoreError, codec, outcome},
    task::{Outcome, Task, TaskId, Timeouts},
};
use async_trait::async_trait;
use std::{ops::Range, path::Path, sync::Arc, time::Duration};
use tokio::{
    sync::{
        Mutex,
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::timeout,
};

/// Timeout for a call that waits for the disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module. The number of records is bounded by the routes' slots.
#[derive(Debug)]
pub struct FileStore {
    asks: mpsc::Sender<Ask>,
    health: Arc<Health>,
    instance: String,
    /// The numbers of the tasks that were in the file at the start and are not adopted yet.
    orphans: Mutex<Range<u64>>,
}

impl FileStore {
    /// Opens the file, or creates it. The folder is never created, because it may be the mount point of a missing
    /// volume.
    ///
    /// # Errors
    ///
    /// The error says what is wrong with the file or its disk, and how to repair it. The file is unchanged then.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let ledger = open::open(path)?;
        let instance = ledger.instance.clone();
        let orphans = Mutex::new(0..ledger.next());
        let health = Arc::default();
        let (asks, asked) = mpsc::channel(QUEUE);
        Writer::start(path.to_owned(), ledger, Arc::clone(&health), asked)?;
        Ok(Self {
            asks,
            health,
            instance,
            orphans,
        })
    }

    /// The number of transactions written so far. Each costs one flush of the disk.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.health.flushes()
    }

    /// Asks the writer a question.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let question = Ask::Question(Box::new(move |writer| {
            // The caller may have stopped waiting.
            let _ = answer.send(question(writer));
        }));
        self.put(question, answered).await
    }

    /// Sends a request to the writer, and waits for the answer.
    async fn put<T>(
        &self,
        ask: Ask,
        answered: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        within_disk_timeout(async {
            self.asks.send(ask).await.map_err(|_| stopped())?;
            answered.await.map_err(|_| stopped())?
        })
        .await
    }

    /// Sends a change to the writer. Its write is not awaited.
    async fn change(&self, id: TaskId, change: Change) -> Result<(), StoreError> {
        let sent = self.asks.send(Ask::Change(id, change));
        within_disk_timeout(async { sent.await.map_err(|_| stopped()) }).await
    }
}

async fn within_disk_timeout<T>(
    act: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let slow = |_| {
        Err(StoreError::Unavailable(format!(
            "the disk has not answered for {DISK_TIMEOUT:?}"
        )))
    };
    timeout(DISK_TIMEOUT, act).await.unwrap_or_else(slow)
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the file is closed".to_owned())
}

#[async_trait]
impl Store for FileStore {
    async fn insert(&self, route: &OwnRoute, task: &Task) -> Result<(), StoreError> {
        let unwritable = |error: codec::Unreadable| StoreError::Unavailable(error.to_string());
        let (done, outcome) = oneshot::channel();
        let insert = Insert {
            id: task.id,
            record: codec::record(route, task).map_err(unwritable)?,
            message: codec::message(task).map_err(unwritable)?,
            done,
        };
        self.put(Ask::Insert(insert), outcome).await
    }

    async fn confirmed(&self, id: TaskId, timeouts: Timeouts) -> Result<(), StoreError> {
        self.change(id, Change::confirmed(timeouts)).await
    }

    async fn messages_lost(&self, ids: &[TaskId]) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        self.ask(move |writer| writer.lose_messages(&ids)).await
    }

    fn note(&self, id: TaskId, note: Note) {
        let Some(change) = Change::noted(note) else {
            return;
        };
        // Each of these is noted once for a delivery of the task, so it must not be lost.
        if let Err(TrySendError::Full(change)) = self.asks.try_send(Ask::Change(id, change)) {
            let asks = self.asks.clone();
            tokio::spawn(async move { asks.send(change).await });
        }
    }

    async fn remove(&self, id: TaskId) -> Result<(), StoreError> {
        self.change(id, Change::removed()).await
    }

    async fn adopt(&self, most: usize) -> Result<Vec<Record>, StoreError> {
        let mut orphans = self.orphans.lock().await;
        let numbers = orphans.clone();
        let (page, next) = self.ask(move |writer| writer.page(numbers, most)).await?;
        // The start moves only now. If the caller stops waiting for the answer, the next call must return the same
        // page.
        orphans.start = next;
        Ok(page)
    }

    async fn offer_again(&self) {
        self.orphans.lock().await.start = 0;
    }

    async fn message(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.ask(move |writer| writer.message(id)).await
    }

    async fn copy(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.ask(move |writer| writer.copy(id)).await
    }

    async fn keep_outcome(&self, id: TaskId, outcome: &Outcome) -> Result<(), StoreError> {
        let text = outcome::text(outcome);
        let text = text.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.change(id, Change::outcome(text)).await
    }

    async fn kept_outcome(&self, id: TaskId) -> Result<Option<Outcome>, StoreError> {
        self.ask(move |writer| writer.kept_outcome(id)).await
    }

    async fn ended(&self, most: usize) -> Result<Vec<TaskId>, StoreError> {
        self.ask(move |writer| writer.ended(most)).await
    }

    async fn count(&self) -> Result<usize, StoreError> {
        self.ask(|writer| writer.count()).await
    }

    fn unavailable(&self) -> Option<String> {
        let closed = self.asks.is_closed().then(|| stopped().to_string());
        closed.or_else(|| self.health.unavailable())
    }

    fn unreadable(&self) -> usize {
        self.health.unreadable.count()
    }

    fn owner(&self) -> &str {
        &self.instance
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::Beyond(self.instance.clone())
    }

    fn shared(&self) -> Option<&dyn Shared> {
        None
    }

    async fn closed(&self) {
        self.asks.closed().await;
    }

    async fn close(&self) {
        let (closed, answered) = oneshot::channel();
        // Changes that could not be written are lost, as in a crash.
        let _ = self.put(Ask::Close(closed), answered).await;
    }
}
