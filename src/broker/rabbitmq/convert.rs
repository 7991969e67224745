//! Converts between the bridge's messages and lapin's.

use super::message::Message;
use crate::{broker::names::APP_ID, task::HeaderValue};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, LongString, ShortString},
};

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
