//! How any table of settings is read. Each part of the bridge reads its own settings with it.
//!
//! Serde stops at the first mistake. An operator wants all mistakes at once, each with the key's path, the value, the rule and
//! the fix. Therefore the code here merges what figment parses, and walks the tree.

pub mod address;
mod layers;
mod lists;
mod places;
mod problem;
mod reader;
mod record;
pub(crate) mod secret_file;
mod value;
mod variables;

pub use layers::Layers;
pub use places::{ENV_PREFIX, Lines, Place, Places};
pub use problem::{Problem, Problems, in_one_line};
pub use reader::Reader;
pub use record::{Found, HIDDEN, Kind, Record, Setting, Shown, Word};
pub use variables::Variable;
