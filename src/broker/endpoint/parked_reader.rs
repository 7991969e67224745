//! The parked replies as a person reads them, beside whoever consumes them.

use super::{message::Message, queue::Position, switch::Switch};
use crate::broker::{Acknowledge, Delivery, ParkedReader, Receipt, read};
use async_trait::async_trait;
use std::sync::Arc;

/// See the module. A message that a consumer has is not among them.
pub(super) struct ParkedMessages {
    pub(super) switch: Switch,
    /// The place after which the next message is looked for.
    pub(super) after: Option<Position>,
    /// The number of messages that may still be read.
    pub(super) left: u16,
}

#[async_trait]
impl ParkedReader for ParkedMessages {
    async fn next(&mut self) -> Option<Delivery> {
        self.left = self.left.checked_sub(1)?;
        let after = self.after;
        let (position, message) = self.switch.with(|state| state.parked_after(after))?;
        self.after = Some(position);
        let receipt = Receipt::new(Parked {
            switch: self.switch.clone(),
            position,
        });
        Some(delivery(&message, receipt))
    }

    async fn close(self: Box<Self>) {}
}

fn delivery(message: &Arc<Message>, receipt: Receipt) -> Delivery {
    let read = read::delivery(&message.properties, message.body.to_vec(), receipt, || ());
    read.map_or_else(|rest| rest, |(delivery, ())| delivery)
}

/// The receipt of a parked message.
struct Parked {
    switch: Switch,
    position: Position,
}

#[async_trait]
impl Acknowledge for Parked {
    fn is_usable(&self) -> bool {
        true
    }

    /// False if a consumer has the message meanwhile.
    async fn ack(&self) -> bool {
        self.switch.with(|state| state.remove_parked(self.position))
    }

    async fn requeue(&self) {}
}
