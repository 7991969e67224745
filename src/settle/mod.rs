//! From the worker to AWS: replies, outcomes, heartbeats, and what workers are told.

pub mod heartbeat;
pub mod notify;
pub mod outcome;
pub mod owner;
pub mod park;
pub mod parse;
pub mod replies;

pub use outcome::{clean_up, remove_record, settle};
