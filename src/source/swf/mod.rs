//! Amazon SWF as a source of tasks: the calls, SWF's faults, its settings, and the discovery of timeouts.

mod activity_types;
pub mod discovery;
mod faults;
mod pending;
pub mod settings;
mod task_list;

pub use settings::{Discover, SwfConfig};
pub use task_list::{Swf, SwfClients, SwfOptions};
