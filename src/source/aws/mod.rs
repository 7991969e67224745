//! What the clients of both AWS services share: how they are built, and how their errors become
//! [`SourceError`](super::SourceError)s.

mod bounded_body;
mod ca_bundle;
mod client;
mod clock;
mod credentials;
mod errors;
mod http;
pub(crate) mod proxies;
pub mod settings;

pub use ca_bundle::BadCaBundle;
pub use client::{AwsConfig, for_polls, for_responses};
pub use clock::Clock;
pub use credentials::AwsCredentials;
pub use errors::{Meaning, Meanings};
