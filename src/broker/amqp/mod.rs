//! The codec of AMQP 0-9-1: bytes to frames to methods, and back. Both brokers use it.

pub mod content_header;
pub mod frame;
pub mod method;
pub(crate) mod outbox;
pub mod properties;
pub mod properties_builder;
mod property;
pub mod table;
pub mod table_builder;
