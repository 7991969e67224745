//! The store `memory`: its records end with the process.
//!
//! The table of tasks in flight has the records, and ends with the process too. This store keeps only what the table does not:
//! the messages that a durable broker may lose until a worker has begun, as far as there is room.

use super::{
    contract::{Lifetime, Shared, Store},
    error::StoreError,
    record::{Note, OwnRoute, Record},
};
use crate::{
    broker::Durability,
    task::{HeaderValue, Outcome, Task, TaskId, Timeouts},
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Maximum size of all messages together, in bytes. A message beyond it is not kept.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Size of a message beside its texts, in bytes.
const MESSAGE_OVERHEAD: usize = 512;

/// See the module. The routes' slots bound the number of tasks.
#[derive(Debug)]
pub struct MemoryStore {
    tasks: Mutex<Tasks>,
    owner: String,
    keeps_messages: bool,
}

#[derive(Debug, Default)]
struct Tasks {
    open: HashMap<TaskId, Entry>,
    /// The size of the messages that are kept, in bytes.
    bytes: usize,
}

/// What is kept of a task.
#[derive(Debug, Default)]
struct Entry {
    message: Option<Box<Task>>,
    published: bool,
    begun: bool,
}

impl MemoryStore {
    /// An empty store, for a broker of this durability. A broker that loses its messages only with the process needs no copies.
    #[must_use]
    pub fn new(broker: Durability) -> Self {
        Self {
            tasks: Mutex::default(),
            owner: TaskId::random().reveal(),
            keeps_messages: broker == Durability::Durable,
        }
    }
}

impl Tasks {
    fn insert(&mut self, task: &Task, keeps_message: bool) {
        let size = size(task);
        let fits = keeps_message && self.bytes + size <= MAX_MESSAGE_BYTES;
        let entry = self.open.entry(task.id).or_default();
        if fits && entry.message.is_none() && !entry.published {
            entry.message = Some(Box::new(task.clone()));
            self.bytes += size;
        }
    }

    fn change(&mut self, id: TaskId, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.open.get_mut(&id) else {
            return;
        };
        change(entry);
        if entry.published && entry.begun {
            let dropped = entry.message.take();
            self.bytes -= dropped.map_or(0, |task| size(&task));
        }
    }

    fn remove(&mut self, id: TaskId) {
        let removed = self.open.remove(&id).and_then(|entry| entry.message);
        self.bytes -= removed.map_or(0, |task| size(&task));
    }

    /// The message of a task that is so; `None` if there is no such task.
    fn message(
        &self,
        id: TaskId,
        is_so: impl Fn(&Entry) -> bool,
    ) -> Result<Option<Task>, StoreError> {
        match self.open.get(&id) {
            Some(entry) if is_so(entry) => match &entry.message {
                Some(task) => Ok(Some(Task::clone(task))),
                None => Err(StoreError::NoMessage),
            },
            Some(_) | None => Ok(None),
        }
    }
}

/// The size of a task's message in memory, in bytes.
fn size(task: &Task) -> usize {
    let header = |value: &HeaderValue| match value {
        HeaderValue::Text(text) => text.len(),
        HeaderValue::Integer(_) => 0,
    };
    let headers = task.headers.iter();
    let headers = headers.map(|(name, value)| size_of_val(&(name, value)) + 64 + header(value));
    let texts = task.input.text().len() + task.activity.len() + task.token.reveal().len();
    MESSAGE_OVERHEAD + texts + headers.sum::<usize>()
}

#[async_trait]
impl Store for MemoryStore {
    async fn insert(&self, _route: &OwnRoute, task: &Task) -> Result<(), StoreError> {
        self.tasks.lock().insert(task, self.keeps_messages);
        Ok(())
    }

    async fn confirmed(&self, id: TaskId, _timeouts: Timeouts) -> Result<(), StoreError> {
        let confirm = |entry: &mut Entry| entry.published = true;
        self.tasks.lock().change(id, confirm);
        Ok(())
    }

    async fn messages_lost(&self, ids: &[TaskId]) -> Result<(), StoreError> {
        let mut tasks = self.tasks.lock();
        for id in ids {
            tasks.change(*id, |entry| entry.published &= entry.begun);
        }
        Ok(())
    }

    fn note(&self, id: TaskId, note: Note) {
        if note == Note::Begun {
            let begin = |entry: &mut Entry| entry.begun = true;
            self.tasks.lock().change(id, begin);
        }
    }

    async fn remove(&self, id: TaskId) -> Result<(), StoreError> {
        self.tasks.lock().remove(id);
        Ok(())
    }

    async fn adopt(&self, _most: usize) -> Result<Vec<Record>, StoreError> {
        Ok(Vec::new())
    }

    async fn message(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        let unpublished = |entry: &Entry| !entry.published;
        self.tasks.lock().message(id, unpublished)
    }

    async fn copy(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.tasks.lock().message(id, |entry| !entry.begun)
    }

    async fn keep_outcome(&self, _id: TaskId, _outcome: &Outcome) -> Result<(), StoreError> {
        Ok(())
    }

    async fn kept_outcome(&self, _id: TaskId) -> Result<Option<Outcome>, StoreError> {
        Ok(None)
    }

    async fn ended(&self, _most: usize) -> Result<Vec<TaskId>, StoreError> {
        Ok(Vec::new())
    }

    async fn count(&self) -> Result<usize, StoreError> {
        Ok(self.tasks.lock().open.len())
    }

    fn unavailable(&self) -> Option<String> {
        None
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::Process
    }

    fn shared(&self) -> Option<&dyn Shared> {
        None
    }

    async fn close(&self) {}
}
