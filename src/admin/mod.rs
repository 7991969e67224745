//! The admin endpoint.

pub mod listing;
pub mod server;

pub use listing::Listing;
