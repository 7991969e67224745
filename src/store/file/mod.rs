//! The store `file`: the records of tasks in flight in an embedded database, in one file.
//!
//! It serves one process at a time, and survives its crash. How it works is described in `file_store`.

pub mod change;
mod file_store;
pub mod health;
pub mod ledger;
pub mod open;
pub mod settings;
pub mod writer;

pub use file_store::FileStore;
pub use open::read;
pub use settings::FileConfig;
