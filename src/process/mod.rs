//! The process: the signals that stop it, and the drain.

mod drain;
pub mod settings;
mod signals;
pub mod stack;

pub use drain::{Shutdown, flush_reserve};
pub use settings::ShutdownConfig;
pub use signals::Signals;
