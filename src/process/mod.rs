//! The process itself: the signals that stop it, the drain, its limit on open files, and the stacks of its threads.

pub mod descriptors;
mod drain;
pub mod settings;
mod signals;
pub mod stack;

pub use drain::{Shutdown, flush_reserve};
pub use settings::ShutdownConfig;
pub use signals::Signals;
