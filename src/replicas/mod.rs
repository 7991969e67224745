//! Several processes on one shared store: this process keeps its lease, and adopts the tasks of dead processes.
//!
//! Nothing runs here if the store is not shared. The store decides who owns a task and which process is dead. `settle/owner`
//! finds the owner of the task of a reply.

pub mod lease;
pub mod takeover;
