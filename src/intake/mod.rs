//! From AWS to the worker: the gate, the polls, the publications, and recovery.
//!
//! This folder owns a task's way from the poll, or from the store, to the broker's confirm. What the worker answers is
//! handled in `settle/`.

pub mod gate;
mod poll_scaler;
pub mod poller;
pub mod publish;
pub mod recovery;
mod timeouts;

pub use poll_scaler::{PollScaler, Polled};
