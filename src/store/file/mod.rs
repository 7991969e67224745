//! The store in one file.

pub mod change;
mod file_store;
pub mod health;
pub mod ledger;
pub mod open;
pub mod settings;
pub mod writer;

pub use file_store::FileStore;
pub use open::{folder, read};
pub use settings::FileConfig;
