//! The table of tasks in flight, without any I/O.

pub mod due;
pub mod heartbeat_schedule;
pub mod lifecycle;
pub mod listing;
pub mod ownership;
pub mod restore;
pub mod table;

pub use due::DueTask;
pub use listing::{Listed, Progress};
pub use ownership::OwnershipCheck;
pub use table::{FinalReply, InflightTable, InflightTask, Standing, TaskHandle};
