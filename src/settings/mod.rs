//! How any table of settings is read.
//!
//! Serde stops at the first mistake. An operator wants all mistakes at once, each with the key's path, the value, the rule and
//! the fix, so the tree that figment merges is walked here by hand.

pub mod address;
mod problem;
mod reader;

pub use problem::{Problem, Problems};
pub use reader::{Reader, required};
