//! What the clients of both AWS services share: how they are built, and how their errors become
//! [`SourceError`](super::SourceError)s.

mod bounded_body;
mod client;
mod errors;
pub mod settings;

pub use client::{check_credentials, for_polls, for_responses, load};
pub use errors::{Meaning, Meanings, to_source_error};
