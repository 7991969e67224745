//! From AWS to the worker: the gate, the polls, the publications, and recovery.
//!
//! This folder owns a task's way from the poll, or from the store, to the broker's confirm. What the worker answers is
//! handled in `settle/`.

mod empty_queue;
pub mod gate;
pub mod loops;
pub mod lost_queue;
mod poll_scaler;
pub mod poller;
pub mod publish;
pub mod recovery;
pub mod release;
mod timeouts;

pub use poll_scaler::{PollScaler, Polled};
