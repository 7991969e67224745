//! Converts between the bridge's messages and lapin's.

use super::message::Message;
use crate::{
    broker::{
        Acknowledge, Delivery, Inbound, Receipt,
        names::{APP_ID, REPLIES_EXCHANGE},
    },
    task::{DeadLetter, Death, HeaderValue},
};
use async_trait::async_trait;
use lapin::{
    Acker, BasicProperties,
    options::{BasicAckOptions, BasicRejectOptions},
    types::{AMQPValue, FieldTable, LongString, ShortString},
};
use std::time::Duration;
use tokio::time::timeout;

/// Timeout for an acknowledgement. It is only written to a socket, so only a dead connection makes it slow.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);

const PERSISTENT: u8 = 2;

/// A short string. AMQP limits it to 255 bytes. Names are checked before they get here, and ids are shorter.
pub(crate) fn short(text: &str) -> ShortString {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    ShortString::from(&text[..end])
}

pub(crate) fn properties(message: &Message<'_>) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        let value = match value {
            HeaderValue::Text(text) => AMQPValue::LongString(LongString::from(text.as_str())),
            HeaderValue::Integer(number) => AMQPValue::LongLongInt(*number),
        };
        headers.insert(short(name), value);
    }
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_app_id(short(APP_ID))
        .with_headers(headers);
    if let Some(content_type) = message.content_type {
        properties = properties
            .with_content_type(short(content_type))
            .with_content_encoding(short("utf-8"));
    }
    if let Some(id) = message.message_id {
        properties = properties.with_message_id(short(id));
    }
    if let Some(id) = message.correlation_id {
        properties = properties.with_correlation_id(short(id));
    }
    if let Some(kind) = message.kind {
        properties = properties.with_type(short(kind));
    }
    if let Some(reply_to) = message.reply_to {
        properties = properties.with_reply_to(short(reply_to));
    }
    if let Some(seconds) = message.timestamp_secs {
        properties = properties.with_timestamp(seconds);
    }
    if let Some(milliseconds) = message.expiration_ms {
        properties = properties.with_expiration(short(&milliseconds.to_string()));
    }
    if let Some(priority) = message.priority {
        properties = properties.with_priority(priority);
    }
    properties
}

/// Converts a message from the reply queue.
pub(crate) fn inbound(from: lapin::message::Delivery) -> Inbound {
    match dead_letter(&from) {
        Some(dead_letter) => Inbound::DeadLetter(dead_letter, delivery(from)),
        None => Inbound::Reply(delivery(from)),
    }
}

fn delivery(from: lapin::message::Delivery) -> Delivery {
    let properties = &from.properties;
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    let headers = (properties.headers().as_ref()).map_or_else(Vec::new, headers);
    Delivery {
        correlation_id: text(properties.correlation_id()),
        kind: text(properties.kind()),
        reply_to: text(properties.reply_to()),
        content_type: text(properties.content_type()),
        headers,
        body: from.data,
        queues: None,
        receipt: Receipt::new(from.acker),
    }
    .or_from_headers()
}

/// Why the broker took a message out of its queue; `None` if the message is no dead letter. Workers may send anything
/// through the two exchanges for replies, also copies of a dead letter's headers.
fn dead_letter(from: &lapin::message::Delivery) -> Option<DeadLetter> {
    if ["", REPLIES_EXCHANGE].contains(&from.exchange.as_str()) {
        return None;
    }
    let headers = from.properties.headers().as_ref()?.inner();
    let text = |value: Option<&AMQPValue>| match value? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    };
    let first_reason = text(headers.get("x-first-death-reason"))?;
    // A message may have died several times, for example in the operator's retry queues. The newest death is listed
    // first.
    let newest = match headers.get("x-death") {
        Some(AMQPValue::FieldArray(deaths)) => match deaths.as_slice().first() {
            Some(AMQPValue::FieldTable(newest)) => Some(newest.inner()),
            _ => None,
        },
        _ => None,
    };
    let of_newest = |name: &str| newest.and_then(|newest| text(newest.get(name)));
    let reason = of_newest("reason").unwrap_or(first_reason);
    let queue = of_newest("queue").or_else(|| text(headers.get("x-first-death-queue")));
    Some(DeadLetter {
        death: death(&reason),
        queue: queue.unwrap_or_default(),
    })
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

/// The headers that the bridge can read: texts and numbers.
fn headers(table: &FieldTable) -> Vec<(String, HeaderValue)> {
    let plain = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => {
            let text = String::from_utf8_lossy(text.as_bytes());
            Some(HeaderValue::Text(text.into_owned()))
        }
        AMQPValue::ByteArray(bytes) => {
            let text = String::from_utf8_lossy(bytes.as_slice());
            Some(HeaderValue::Text(text.into_owned()))
        }
        AMQPValue::ShortString(text) => Some(HeaderValue::Text(text.to_string())),
        AMQPValue::Boolean(flag) => Some(HeaderValue::Text(flag.to_string())),
        AMQPValue::ShortShortInt(n) => Some(HeaderValue::Integer((*n).into())),
        AMQPValue::ShortShortUInt(n) => Some(HeaderValue::Integer((*n).into())),
        AMQPValue::ShortInt(n) => Some(HeaderValue::Integer((*n).into())),
        AMQPValue::ShortUInt(n) => Some(HeaderValue::Integer((*n).into())),
        AMQPValue::LongInt(n) => Some(HeaderValue::Integer((*n).into())),
        AMQPValue::LongUInt(n) => Some(HeaderValue::Integer((*n).into())),
        AMQPValue::LongLongInt(n) => Some(HeaderValue::Integer(*n)),
        AMQPValue::Float(n) => Some(HeaderValue::Text(n.to_string())),
        AMQPValue::Double(n) => Some(HeaderValue::Text(n.to_string())),
        _ => None,
    };
    table
        .inner()
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), plain(value)?)))
        .collect()
}

#[async_trait]
impl Acknowledge for Acker {
    fn is_usable(&self) -> bool {
        self.usable()
    }

    async fn ack(&self) -> bool {
        let acked = Acker::ack(self, BasicAckOptions::default());
        matches!(timeout(ACK_TIMEOUT, acked).await, Ok(Ok(true)))
    }

    async fn requeue(&self) {
        let options = BasicRejectOptions { requeue: true };
        // If the connection has ended, the message is in its queue already.
        drop(timeout(ACK_TIMEOUT, Acker::reject(self, options)).await);
    }
}
