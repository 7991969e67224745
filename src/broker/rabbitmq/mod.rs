//! RabbitMQ through lapin, without lapin's automatic recovery.
//!
//! A supervisor keeps one *generation* at a time: the connections with their channels and topology. A generation is opened as a
//! whole and dropped as a whole; only its reader of replies may be opened again alone. If a message was not confirmed on one generation, the caller
//! publishes it again on the next.
//!
//! Names, errors and quirks of RabbitMQ and of lapin stay in this folder.

mod access;
pub(super) mod check;
mod client;
mod confirm_clock;
mod connect;
mod convert;
mod generation;
mod identity;
mod message;
mod missing_queues;
mod names;
mod options;
mod parked_reader;
mod parking_health;
mod posts;
mod probes;
mod publish_channels;
mod publisher;
mod queue_error;
mod reader;
pub(super) mod settings;
mod supervisor;
mod topology;
mod unconfirmed;
mod uri;

pub use access::Access;
pub use client::RabbitMq;
pub(super) use identity::identity;
pub use options::Options;
pub(super) use options::prefetch_for;
pub use settings::RabbitMqConfig;
pub use uri::Uri;
