//! The admin endpoint.

pub mod listing;
pub mod server;
pub(crate) mod settings;

pub use listing::Listing;
