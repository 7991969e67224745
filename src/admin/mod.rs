//! The admin endpoint: `/livez`, `/readyz`, `/started`, `/drained`, `/metrics`, `/scale`, `/tasks` and the status page, which change nothing.
//! On the local socket also `/drain`, `/resume`, `/reload`, `/release`, `/pause` and `/parked`.

mod caller;
mod connections;
pub mod drain;
pub mod listing;
pub mod notes;
mod open_connections;
pub mod parked;
pub mod pause;
pub mod readiness;
pub mod release;
pub mod reload;
pub mod scale;
pub mod scrape;
pub mod server;
pub(crate) mod settings;
mod shared;
pub mod socket;
pub mod status;

pub use listing::Listing;
pub use readiness::Readiness;
pub use settings::{AdminConfig, SocketName};
pub use shared::Admin;
