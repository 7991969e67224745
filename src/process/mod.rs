//! The process itself: the signals that stop it, the drain, and its limit on open files.

pub mod descriptors;
mod drain;
pub mod settings;
mod signals;

pub use drain::{Shutdown, flush_reserve};
pub use settings::ShutdownConfig;
pub use signals::Signals;
