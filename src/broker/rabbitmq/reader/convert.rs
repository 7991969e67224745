//! Converts a message from the reply queue to the bridge's terms.

use super::assembly::Message;
use crate::{
    broker::{
        Inbound, Receipt,
        amqp::{
            properties::Properties,
            table::{self, Value},
        },
        names::REPLIES_EXCHANGE,
        read::{self, lossy},
    },
    task::{DeadLetter, Death},
};

pub(super) fn inbound(from: Message, receipt: Receipt) -> Inbound {
    let Message {
        exchange,
        properties,
        body,
        ..
    } = from;
    let died = || dead_letter(&exchange, &properties);
    match read::delivery(&properties, body.into(), receipt, died) {
        Ok((mut delivery, Some(dead_letter))) => {
            delivery.may_be_copied = false;
            Inbound::DeadLetter(dead_letter, delivery)
        }
        Ok((delivery, None)) => Inbound::Reply(delivery),
        Err(rest) => Inbound::Unreadable(rest),
    }
}

/// Why the broker took a message out of its queue; `None` if the message is no dead letter. Workers may send anything
/// through the two exchanges for replies, also copies of a dead letter's headers.
fn dead_letter(exchange: &[u8], properties: &Properties) -> Option<DeadLetter> {
    if exchange.is_empty() || exchange == REPLIES_EXCHANGE.as_bytes() {
        return None;
    }
    let first_reason = text(properties.header(b"x-first-death-reason"))?;
    // A message may have died several times, for example in the operator's retry queues. The newest death is listed
    // first.
    let newest = properties.header(b"x-death").and_then(first_table);
    let of_newest = |name: &[u8]| {
        let mut entries = table::entries(newest?).map_while(Result::ok);
        text(
            entries
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value),
        )
    };
    let queue = of_newest(b"queue").or_else(|| text(properties.header(b"x-first-death-queue")));
    Some(DeadLetter {
        death: death(&of_newest(b"reason").unwrap_or(first_reason)),
        queue: queue.unwrap_or_default(),
    })
}

fn text(value: Option<Value<'_>>) -> Option<String> {
    match value? {
        Value::Text(text) => Some(lossy(text)),
        _ => None,
    }
}

/// The content of the table that an array begins with.
fn first_table(value: Value<'_>) -> Option<&[u8]> {
    let Value::Other([b'A', _, _, _, _, b'F', rest @ ..]) = value else {
        return None;
    };
    let (length, rest) = rest.split_first_chunk()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The death for RabbitMQ's word. `maxlen`, and any word that RabbitMQ may add, count as dropped.
fn death(word: &str) -> Death {
    match word {
        "rejected" => Death::Rejected,
        "expired" => Death::Expired,
        "delivery_limit" => Death::DeliveryLimit,
        _ => Death::Dropped,
    }
}
