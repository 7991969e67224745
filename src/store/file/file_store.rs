//! The store in one file: an embedded database that outlives the process, for one process at a time.
//!
//! One thread does all reading and writing (`writer`), and one transaction, which costs one flush of the disk, serves all
//! that was asked for meanwhile. An insert waits for its transaction. Everything else rides along with the next one, a
//! tenth of a second later at most.
//!
//! | File | What it owns |
//! |---|---|
//! | `open` | making and opening the file, and what can be wrong with it |
//! | `ledger` | the tables, and one transaction on them |
//! | `change`, `health` | what the writer is given, and what it shows |
//! | `writer` | the thread: what makes a group, and what happens when the disk fails |

use super::{
    change::{Change, Insert},
    health::Health,
    open,
    writer::{Ask, QUEUE, Writer},
};
use crate::{
    store::{Lifetime, Note, Record, Shared, Store, StoreError, codec},
    task::{Task, TaskId, Timeouts},
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

/// How long a call waits for the disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module. Its size is bounded by the routes' slots.
#[derive(Debug)]
pub struct FileStore {
    asks: mpsc::Sender<Ask>,
    health: Arc<Health>,
    instance: String,
    /// The numbers of the tasks that were there at the start and were not adopted yet.
    orphans: Mutex<Range<u64>>,
}

impl FileStore {
    /// Opens the file, or makes it where there is none. Its folder is never made: it may be a volume that is missing.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the file or its disk, and how to mend it. The file is then as it was.
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

    /// How many transactions were written so far; each costs one flush of the disk.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.health.flushes()
    }

    /// Puts a question to the writer.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let question = Ask::Question(Box::new(move |writer| {
            // Who asked may have stopped waiting.
            let _ = answer.send(question(writer));
        }));
        self.put(question, answered).await
    }

    /// Puts something to the writer, and waits for its answer.
    async fn put<T>(
        &self,
        ask: Ask,
        answered: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        patiently(async {
            self.asks.send(ask).await.map_err(|_| stopped())?;
            answered.await.map_err(|_| stopped())?
        })
        .await
    }

    /// Puts a change to the writer, which nobody waits for.
    async fn change(&self, id: TaskId, change: Change) -> Result<(), StoreError> {
        let sent = self.asks.send(Ask::Change(id, change));
        patiently(async { sent.await.map_err(|_| stopped()) }).await
    }
}

async fn patiently<T>(act: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
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
    async fn insert(&self, route: &str, task: &Task) -> Result<(), StoreError> {
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

    fn note(&self, id: TaskId, note: Note) {
        match note {
            Note::Begun => {
                let begun = self.asks.try_send(Ask::Change(id, Change::begun()));
                // It is said once for each task, and not again.
                if let Err(TrySendError::Full(begun)) = begun {
                    let asks = self.asks.clone();
                    tokio::spawn(async move { asks.send(begun).await });
                }
            }
            Note::Heard(_) | Note::CancelRequested => {}
        }
    }

    async fn remove(&self, id: TaskId) -> Result<(), StoreError> {
        self.change(id, Change::removed()).await
    }

    async fn adopt(&self, most: usize) -> Result<Vec<Record>, StoreError> {
        let mut orphans = self.orphans.lock().await;
        let numbers = orphans.clone();
        let (page, next) = self.ask(move |writer| writer.page(numbers, most)).await?;
        // Only now: where nobody had waited for the answer, the next call has to give it again.
        orphans.start = next;
        Ok(page)
    }

    async fn message(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.ask(move |writer| writer.message(id)).await
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
        // What could not be written is what a crash would have forgotten.
        let _ = self.put(Ask::Close(closed), answered).await;
    }
}
