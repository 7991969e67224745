//! The process itself: the signals that it gets, the drain, its limits on open files and core dumps, and the stacks of its threads.

pub mod core_dumps;
pub mod descriptors;
mod drain;
pub mod settings;
mod signals;
pub mod stack;

pub use drain::{Shutdown, flush_reserve};
pub use settings::ShutdownConfig;
pub use signals::Signals;
