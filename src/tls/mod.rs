//! TLS where the bridge is the client: the files that settings name, what the bridge trusts and shows, and what to do when a
//! server or the bridge is refused.

mod advice;
mod client;
mod files;
pub(crate) mod pem;

pub(crate) use advice::advice;
pub(crate) use client::client_config;
pub(crate) use files::Identity;
pub(crate) use files::{CERT_FILE, KEY_FILE, TlsHelp};
pub use files::{ClientTls, ClientTlsFiles};
