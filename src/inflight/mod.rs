//! The table of tasks in flight, without any I/O.

pub mod due;
pub mod heartbeat_schedule;
pub mod lifecycle;
pub mod listing;
pub mod ownership;
pub mod restore;
pub mod table;

pub use due::DueFlight;
pub use listing::{Listed, Progress};
pub use ownership::Certainty;
pub use table::{FinalReply, Flight, Flights, Standing, Ticket};
