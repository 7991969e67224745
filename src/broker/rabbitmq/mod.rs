//! RabbitMQ through lapin, without lapin's automatic recovery.
//!
//! A supervisor keeps one *generation* at a time: two connections with their channels, topology and consumer. A generation is
//! opened as a whole and thrown away as a whole. The caller publishes again on the next generation what was not confirmed on
//! this one.

pub mod check;
pub mod client;
pub mod connect;
pub mod convert;
pub mod generation;
pub mod options;
pub mod publisher;
pub mod supervisor;
pub mod topology;
mod uri;

pub use client::RabbitMq;
pub use options::Options;
pub use uri::Uri;
