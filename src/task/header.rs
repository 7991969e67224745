//! The value of a header.

/// A header's value. Only these two kinds are read in the same way by every AMQP client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// A long string.
    Text(String),
    /// A signed 64-bit integer.
    Integer(i64),
}
