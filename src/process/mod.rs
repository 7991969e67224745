//! The process itself: the signals that it gets, its start, the drain, who asks for a reload of its configuration, its limits on open files and core dumps, the service manager.

mod awaited;
pub mod core_dumps;
pub mod descriptors;
mod drain_switch;
mod idle;
pub mod reload;
mod requested_drain;
pub mod service_manager;
pub mod settings;
mod shutdown;
mod signals;
mod started;

pub use drain_switch::{DrainSwitch, DrainWait, Ending};
pub use idle::Idleness;
pub use requested_drain::RequestedDrain;
pub use settings::ShutdownConfig;
pub use shutdown::{Shutdown, flush_reserve};
pub use signals::Signals;
pub use started::started;
