//! From the worker to AWS: replies, outcomes, heartbeats, and what workers are told.
//!
//! This folder owns what a reply means and what follows from it. It calls AWS and the broker. It does not decide in
//! which state a task is: it asks the table in [`crate::inflight`].

mod access;
mod answer;
pub mod deliveries;
mod end;
pub mod heartbeat;
pub mod keep;
pub mod notify;
pub mod outcome;
pub mod owner;
pub mod park;
pub mod parked;
mod parked_as;
pub mod parse;
pub mod replay;
pub mod replies;
pub mod resume;
mod unusable;

pub use outcome::{clean_up, remove_record, settle};
