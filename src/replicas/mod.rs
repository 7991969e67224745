//! Several processes on one store: the lease, and taking over the tasks of the dead.

pub mod lease;
pub mod takeover;
