//! The names of the keys in Redis. The part between braces decides the slot of a Cluster.

use crate::task::TaskId;

/// The names of the keys under one prefix.
pub(crate) struct Keys {
    prefix: String,
}

/// The keys of one owner. All are in one slot of a Cluster.
pub(crate) struct OwnerKeys {
    /// The lease: it exists for as long as the owner is alive.
    pub(crate) lease: String,
    /// The set of the ids of its tasks: all of them, and perhaps some that it does not own any more.
    pub(crate) tasks: String,
    /// The inbox: a stream of messages from other processes.
    pub(crate) inbox: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// The id of the store.
    pub(crate) fn instance(&self) -> String {
        format!("{}:instance", self.prefix)
    }

    /// The key that is written to check that Redis can be written.
    pub(crate) fn check(&self) -> String {
        format!("{}:check", self.prefix)
    }

    /// The set of owners that may have tasks.
    pub(crate) fn owners(&self) -> String {
        format!("{}:owners", self.prefix)
    }

    /// The record of a task: a hash. For a while after the end of the task it is a tombstone, with only the field `ended`.
    pub(crate) fn task(&self, id: TaskId) -> String {
        format!("{}:task:{{{}}}", self.prefix, id.reveal())
    }

    /// The key of a record as the log shows it, with the beginning of the id: a pattern that finds the key.
    pub(crate) fn shown_task(&self, id: TaskId) -> String {
        format!("{}:task:{{{id}*}}", self.prefix)
    }

    pub(crate) fn owner(&self, owner: &str) -> OwnerKeys {
        let key = |what| format!("{}:owner:{{{owner}}}:{what}", self.prefix);
        OwnerKeys {
            lease: key("lease"),
            tasks: key("tasks"),
            inbox: key("mail"),
        }
    }
}
