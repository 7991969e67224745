//! Amazon SWF as a source of tasks.

pub mod discovery;
mod faults;
pub mod settings;
mod task_list;

pub use settings::{Discover, SwfConfig};
pub use task_list::{Swf, SwfClients, SwfOptions};
