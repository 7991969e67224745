//! The tasks in flight of this process: a table in memory, without any I/O.
//!
//! `table` owns the entries: state, slot, heartbeat schedule, and the reply that waits for its acknowledgement. `lifecycle`
//! is the pure state machine of a task. `deliveries` applies what a broker tells of them. `heartbeat_schedule` says when a heartbeat
//! is due, `due` keeps the order of what is due. `leg_clock` measures how long each leg of a task's way takes, and `leg_spans` shows
//! them in its trace. `restore` enters adopted
//! tasks. `lost_queues` finds the tasks whose messages the broker has lost. `timeouts` holds what is learnt of them. `unsettled` holds
//! outcomes. `listing`, `tally` and `ownership` answer questions about the tasks.
//!
//! The table decides what an event means. It does not call AWS, the broker or the store: `intake/`, `settle/` and `replicas/`
//! do what it decides.

pub mod deliveries;
pub mod due;
pub mod heartbeat_schedule;
pub mod leg_clock;
mod leg_spans;
pub mod lifecycle;
pub mod listing;
pub mod lost_queues;
pub mod ownership;
pub mod restore;
pub mod table;
pub mod tally;
pub mod timeouts;
pub mod unsettled;

pub use crate::task::Progress;
pub use due::DueTask;
pub use listing::Listed;
pub use lost_queues::{LostQueue, LostQueues};
pub use ownership::OwnershipCheck;
pub use restore::Restored;
pub use table::{FinalReply, InflightTable, InflightTask, Standing, TaskHandle, remembered_for};
pub use tally::Tally;
