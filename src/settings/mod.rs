//! How any table of settings is read. Each part of the bridge reads its own settings with it.
//!
//! Serde stops at the first mistake. An operator wants all mistakes at once, each with the key's path, the value, the rule and
//! the fix. Therefore the code here walks the tree that figment merges.

pub mod address;
mod lists;
mod problem;
mod reader;
pub(crate) mod secret_file;
mod value;

pub use problem::{Problem, Problems};
pub use reader::{Environment, Reader, required};
