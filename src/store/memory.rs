//! The store that forgets everything with the process.
//!
//! It keeps ids alone: whatever else a record would hold dies with the process too, and lives in the table of
//! flights until then.

use super::{Store, StoreError};
use crate::task::{Task, TaskId};
use async_trait::async_trait;
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// See the module. Its size is bounded by the routes' slots.
#[derive(Debug, Default)]
pub struct MemoryStore {
    open: Mutex<HashSet<TaskId>>,
}

impl MemoryStore {
    fn with<T>(&self, act: impl FnOnce(&mut HashSet<TaskId>) -> T) -> T {
        act(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn insert(&self, _route: &str, task: &Task) -> Result<(), StoreError> {
        self.with(|open| open.insert(task.id));
        Ok(())
    }

    async fn confirmed(&self, _id: TaskId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove(&self, id: TaskId) -> Result<(), StoreError> {
        self.with(|open| open.remove(&id));
        Ok(())
    }

    async fn count(&self) -> Result<usize, StoreError> {
        Ok(self.with(|open| open.len()))
    }

    fn outlives_process(&self) -> bool {
        false
    }
}
