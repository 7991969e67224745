//! What hangs on each connection: acknowledged tasks, and distrust.

use super::custody_terms::ConnectionId;
use crate::task::TaskId;
use std::collections::{HashMap, HashSet};

/// The connections on which something hangs. There are no more of them than living connections.
#[derive(Debug, Default)]
pub(super) struct Connections(HashMap<ConnectionId, Connection>);

/// What hangs on one connection.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// Tasks whose graces run.
    pub(super) graces: HashSet<TaskId>,
    /// Released tasks about which nothing came.
    pub(super) released: HashSet<TaskId>,
    /// Deliveries up to this number are not trusted.
    distrusted: u64,
}

impl Connections {
    pub(super) fn add_grace(&mut self, connection: Option<ConnectionId>, task: TaskId) {
        if let Some(connection) = connection {
            self.0.entry(connection).or_default().graces.insert(task);
        }
    }

    pub(super) fn add_released(&mut self, connection: Option<ConnectionId>, task: TaskId) {
        if let Some(connection) = connection {
            self.0.entry(connection).or_default().released.insert(task);
        }
    }

    /// Takes a task off its connection.
    pub(super) fn remove(&mut self, connection: Option<ConnectionId>, task: TaskId) {
        if let Some(connection) = connection.and_then(|id| self.0.get_mut(&id)) {
            connection.graces.remove(&task);
            connection.released.remove(&task);
        }
    }

    /// Distrusts all deliveries up to a number. Returns the tasks whose graces run.
    pub(super) fn distrust(&mut self, connection: ConnectionId, number: u64) -> HashSet<TaskId> {
        let connection = self.0.entry(connection).or_default();
        connection.distrusted = number;
        std::mem::take(&mut connection.graces)
    }

    pub(super) fn distrusts(&self, connection: ConnectionId, number: u64) -> bool {
        let connection = self.0.get(&connection);
        connection.is_some_and(|connection| number <= connection.distrusted)
    }

    /// The number of tasks that hang on connections.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let tasks = |connection: &Connection| connection.graces.len() + connection.released.len();
        self.0.values().map(tasks).sum()
    }

    /// Removes a connection that has ended.
    pub(super) fn end(&mut self, connection: ConnectionId) -> Connection {
        self.0.remove(&connection).unwrap_or_default()
    }
}
