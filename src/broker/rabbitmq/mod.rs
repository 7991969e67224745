//! RabbitMQ through lapin, without lapin's automatic recovery.
//!
//! A supervisor keeps one *generation* at a time: two connections with their channels, topology and consumer. A generation is
//! opened as a whole and thrown away as a whole. The caller publishes again on the next generation what was not confirmed on
//! this one.

pub(super) mod check;
mod client;
mod connect;
mod convert;
mod generation;
mod message;
mod names;
mod options;
mod publisher;
mod queue_error;
mod supervisor;
mod topology;
mod uri;

pub use client::RabbitMq;
pub use options::Options;
pub use uri::Uri;
