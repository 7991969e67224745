//! The value of a header.

/// A header's value. Every AMQP client reads these two kinds alike; of the others, none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// A long string.
    Text(String),
    /// A signed 64-bit integer.
    Integer(i64),
}
