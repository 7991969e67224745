//! A message to be published.

use super::error::PublishError;
use crate::task::HeaderValue;

/// A message to be published.
#[derive(Debug)]
pub struct Message<'a> {
    /// Empty for the default exchange.
    pub exchange: &'a str,
    /// At most 255 bytes, as all short strings are.
    pub routing_key: &'a str,
    /// As it is.
    pub body: &'a [u8],
    /// The MIME type of the body.
    pub content_type: Option<&'a str>,
    /// The message's id, which the broker hands back with a return.
    pub message_id: Option<&'a str>,
    /// The id of the task that it is about.
    pub correlation_id: Option<&'a str>,
    /// The AMQP property `type`.
    pub kind: Option<&'a str>,
    /// Where to answer.
    pub reply_to: Option<&'a str>,
    /// Seconds since 1970.
    pub timestamp_secs: Option<u64>,
    /// How long it may wait in a queue, in milliseconds.
    pub expiration_ms: Option<u64>,
    /// Its priority, for queues that have them.
    pub priority: Option<u8>,
    /// Application headers.
    pub headers: Vec<(&'a str, &'a HeaderValue)>,
}

/// What became of an attempt to publish.
#[derive(Debug, PartialEq, Eq)]
pub struct Published {
    /// Whether the broker confirmed the message.
    pub result: Result<(), PublishError>,
    /// The id of *another* message, whose return was learnt beside this confirm.
    pub other_returned: Option<String>,
}

impl From<Result<(), PublishError>> for Published {
    fn from(result: Result<(), PublishError>) -> Self {
        Self {
            result,
            other_returned: None,
        }
    }
}
