//! The process itself: the signals that it gets, the drain, its limits on open files and core dumps.

pub mod core_dumps;
pub mod descriptors;
mod drain;
pub mod settings;
mod signals;

pub use drain::{Shutdown, flush_reserve};
pub use settings::ShutdownConfig;
pub use signals::Signals;
