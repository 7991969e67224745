//! The store `memory`: its records end with the process.
//!
//! It keeps only ids. The table of tasks in flight has everything else, and ends with the process too.

use super::{
    contract::{Lifetime, Shared, Store},
    error::StoreError,
    record::{Note, Record},
};
use crate::task::{Outcome, Task, TaskId, Timeouts};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::HashSet;

/// See the module. The routes' slots bound its size.
#[derive(Debug)]
pub struct MemoryStore {
    open: Mutex<HashSet<TaskId>>,
    owner: String,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            owner: TaskId::random().reveal(),
        }
    }
}

impl MemoryStore {
    fn with<T>(&self, act: impl FnOnce(&mut HashSet<TaskId>) -> T) -> T {
        act(&mut self.open.lock())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn insert(&self, _route: &str, task: &Task) -> Result<(), StoreError> {
        self.with(|open| open.insert(task.id));
        Ok(())
    }

    async fn confirmed(&self, _id: TaskId, _timeouts: Timeouts) -> Result<(), StoreError> {
        Ok(())
    }

    fn note(&self, _id: TaskId, _note: Note) {}

    async fn remove(&self, id: TaskId) -> Result<(), StoreError> {
        self.with(|open| open.remove(&id));
        Ok(())
    }

    async fn adopt(&self, _most: usize) -> Result<Vec<Record>, StoreError> {
        Ok(Vec::new())
    }

    async fn message(&self, _id: TaskId) -> Result<Option<Task>, StoreError> {
        Ok(None)
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
        Ok(self.with(|open| open.len()))
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
