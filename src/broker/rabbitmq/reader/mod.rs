//! Reads replies and dead letters from RabbitMQ, on a connection of its own.
//!
//! lapin reads a message's headers by recursion, refuses texts that are not UTF-8 with the whole connection, and keeps what it
//! has read in buffers without a bound. This reader uses the codec of `amqp/`, which does none of that.

mod assembly;
mod connection;
mod consumer;
mod convert;
mod handshake;
mod held;
mod receipt;
mod stream;
#[cfg(test)]
mod tests;

pub(super) use connection::Reader;
pub(super) use held::ReaderBounds;
