//! The process: the signals that stop it, and the drain.

mod drain;
mod signals;
pub mod stack;

pub use drain::{Shutdown, flush_reserve};
pub use signals::Signals;
