//! The admin endpoint: `/livez`, `/readyz`, `/metrics` and `/tasks`. It only reads, and changes nothing.

mod caller;
mod connections;
pub mod listing;
pub mod notes;
pub mod server;
pub(crate) mod settings;
pub mod socket;

pub use listing::Listing;
pub use settings::AdminConfig;
