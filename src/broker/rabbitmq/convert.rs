//! Between our messages and lapin's.

use super::super::{APP_ID, Acknowledge, Delivery, Message, Receipt};
use crate::task::HeaderValue;
use async_trait::async_trait;
use lapin::{
    Acker, BasicProperties,
    options::BasicAckOptions,
    types::{AMQPValue, FieldTable, LongString, ShortString},
};
use std::time::Duration;
use tokio::time::timeout;

/// An acknowledgement is written to a socket; only a dead connection makes that slow.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);

const PERSISTENT: u8 = 2;

/// A short string, which AMQP limits to 255 bytes. Names are checked before they get here; ids are shorter.
pub(super) fn short(text: &str) -> ShortString {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    ShortString::from(&text[..end])
}

pub(super) fn properties(message: &Message<'_>) -> BasicProperties {
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
    properties
}

pub(super) fn delivery(from: lapin::message::Delivery) -> Delivery {
    let properties = &from.properties;
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    Delivery {
        correlation_id: text(properties.correlation_id()),
        kind: text(properties.kind()),
        reply_to: text(properties.reply_to()),
        content_type: text(properties.content_type()),
        headers: properties
            .headers()
            .as_ref()
            .map(headers)
            .unwrap_or_default(),
        body: from.data,
        receipt: Receipt::new(from.acker),
    }
}

/// The headers that mean anything to the bridge: texts and numbers.
fn headers(table: &FieldTable) -> Vec<(String, HeaderValue)> {
    let plain = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => {
            let text = String::from_utf8_lossy(text.as_bytes());
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
}
