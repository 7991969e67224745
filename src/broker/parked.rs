//! What a person reads of the parked messages: the trait [`ParkedReader`].

use super::inbound::Delivery;
use async_trait::async_trait;

/// The parked messages, one after the other, the oldest first. One that arrives meanwhile may be among them.
#[async_trait]
pub trait ParkedReader: Send {
    /// The next message; `None` at the end, or when the broker tells no more. Acknowledging its receipt deletes it. If the receipt
    /// is dropped, the message stays parked. The rights of the message's publisher are not told: they are among its headers.
    async fn next(&mut self) -> Option<Delivery>;

    /// Ends the reading, and waits a short while until the broker knows what was acknowledged. Afterwards all other messages are where
    /// they were.
    async fn close(self: Box<Self>);
}

/// The beginning of a reading.
pub struct ParkedReading {
    /// The number of parked messages that nobody else has.
    pub count: usize,
    /// Reads them.
    pub reader: Box<dyn ParkedReader>,
}
