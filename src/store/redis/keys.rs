//! The names of the keys. What is between braces decides the slot of a Cluster.

use crate::task::TaskId;

/// The names of the keys under one prefix.
pub(crate) struct Keys {
    prefix: String,
}

/// The keys of one owner, all in one slot.
pub(crate) struct OwnerKeys {
    /// There for as long as the owner is alive.
    pub(crate) lease: String,
    /// The ids of its tasks: all of them, and perhaps some that are not its any more.
    pub(crate) tasks: String,
    /// What others have to tell it, a stream.
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

    /// What is written to see whether anything can be.
    pub(crate) fn check(&self) -> String {
        format!("{}:check", self.prefix)
    }

    /// The owners that may have tasks, a set.
    pub(crate) fn owners(&self) -> String {
        format!("{}:owners", self.prefix)
    }

    /// A task's record, a hash; for a while after its end, the one field `ended`.
    pub(crate) fn task(&self, id: TaskId) -> String {
        format!("{}:task:{{{id}}}", self.prefix)
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
