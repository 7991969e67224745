//! The admin endpoint: `/livez`, `/readyz`, `/metrics` and `/tasks`, which change nothing. On the local socket also `/release`.

mod caller;
mod connections;
pub mod listing;
pub mod notes;
pub mod release;
pub mod server;
pub(crate) mod settings;
pub mod socket;

pub use listing::Listing;
pub use settings::AdminConfig;
