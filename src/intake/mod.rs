//! From AWS to the worker: the gate, the polls, the publish, and recovery.

pub mod gate;
mod poll_scaler;
pub mod poller;
pub mod publish;
pub mod recovery;

pub use poll_scaler::{PollScaler, Polled};
