//! The properties of the bridge's own messages.

use super::properties::{Properties, PropertiesError};
use super::property::Property;
use bytes::{BufMut, BytesMut};
use std::collections::BTreeMap;

/// Collects properties, in any order. The last value of each counts.
#[derive(Debug, Default)]
pub struct PropertiesBuilder {
    values: BTreeMap<Property, Vec<u8>>,
    too_long: bool,
}

impl PropertiesBuilder {
    /// No property.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a property that is a short string. A number, a time or the headers have methods of their own.
    fn short(mut self, property: Property, text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        let Ok(length) = u8::try_from(text.len()) else {
            self.too_long = true;
            return self;
        };
        self.set(property, [&[length], text].concat())
    }

    fn set(mut self, property: Property, value: Vec<u8>) -> Self {
        self.values.insert(property, value);
        self
    }

    /// The MIME type of the body.
    #[must_use]
    pub fn content_type(self, text: impl AsRef<[u8]>) -> Self {
        self.short(Property::ContentType, text)
    }

    /// The encoding of the body.
    #[must_use]
    pub fn content_encoding(self, text: impl AsRef<[u8]>) -> Self {
        self.short(Property::ContentEncoding, text)
    }

    /// The headers: a table with its length, as a builder of tables finishes it.
    #[must_use]
    pub fn headers(self, table: impl Into<Vec<u8>>) -> Self {
        self.set(Property::Headers, table.into())
    }

    /// 2 for a persistent message, 1 for another.
    #[must_use]
    pub fn delivery_mode(self, mode: u8) -> Self {
        self.set(Property::DeliveryMode, vec![mode])
    }

    /// The priority.
    #[must_use]
    pub fn priority(self, priority: u8) -> Self {
        self.set(Property::Priority, vec![priority])
    }

    /// What the message belongs to.
    #[must_use]
    pub fn correlation_id(self, text: impl AsRef<[u8]>) -> Self {
        self.short(Property::CorrelationId, text)
    }

    /// Where an answer goes.
    #[must_use]
    pub fn reply_to(self, text: impl AsRef<[u8]>) -> Self {
        self.short(Property::ReplyTo, text)
    }

    /// How long the message may wait, in milliseconds.
    #[must_use]
    pub fn expiration_ms(self, ms: u64) -> Self {
        self.short(Property::Expiration, ms.to_string())
    }

    /// The message's id.
    #[must_use]
    pub fn message_id(self, text: impl AsRef<[u8]>) -> Self {
        self.short(Property::MessageId, text)
    }

    /// A time, in seconds since 1970.
    #[must_use]
    pub fn timestamp(self, secs: u64) -> Self {
        self.set(Property::Timestamp, secs.to_be_bytes().to_vec())
    }

    /// The property `type`.
    #[must_use]
    pub fn kind(self, text: impl AsRef<[u8]>) -> Self {
        self.short(Property::Type, text)
    }

    /// The application that sends the message.
    #[must_use]
    pub fn app_id(self, text: impl AsRef<[u8]>) -> Self {
        self.short(Property::AppId, text)
    }

    /// The properties.
    ///
    /// # Errors
    ///
    /// When a text has more than 255 bytes, or when the headers are no table.
    pub fn finish(self) -> Result<Properties, PropertiesError> {
        if self.too_long {
            return Err(PropertiesError::TooLong);
        }
        let flags = self.values.keys().map(|property| property.flag()).sum();
        let size = self.values.values().map(Vec::len).sum::<usize>();
        let mut raw = BytesMut::with_capacity(2 + size);
        raw.put_u16(flags);
        for value in self.values.values() {
            raw.put_slice(value);
        }
        Properties::parse(raw.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Value;
    use super::super::table_builder::TableBuilder;
    use super::*;

    #[test]
    fn properties_are_read_as_they_were_set_in_any_order() {
        let headers = TableBuilder::new().integer("attempt", 3).finish().unwrap();
        let properties = PropertiesBuilder::new()
            .app_id("bridge")
            .kind("task")
            .timestamp(1_700_000_000)
            .message_id("m")
            .expiration_ms(60_000)
            .reply_to("replies")
            .correlation_id("c")
            .priority(4)
            .delivery_mode(2)
            .headers(headers)
            .content_type("text/plain")
            .content_type("application/json")
            .finish()
            .unwrap();
        assert_eq!(properties.content_type(), Some(&b"application/json"[..]));
        assert_eq!(properties.content_encoding(), None);
        assert_eq!(properties.header(b"attempt"), Some(Value::Integer(3)));
        assert_eq!(properties.delivery_mode(), Some(2));
        assert_eq!(properties.priority(), Some(4));
        assert_eq!(properties.correlation_id(), Some(&b"c"[..]));
        assert_eq!(properties.reply_to(), Some(&b"replies"[..]));
        assert_eq!(properties.expiration(), Some(&b"60000"[..]));
        assert_eq!(properties.message_id(), Some(&b"m"[..]));
        assert_eq!(properties.timestamp(), Some(1_700_000_000));
        assert_eq!(properties.kind(), Some(&b"task"[..]));
        assert_eq!(properties.app_id(), Some(&b"bridge"[..]));
    }

    #[test]
    fn no_property_is_the_default() {
        let none = PropertiesBuilder::new().finish();
        assert_eq!(none, Ok(Properties::default()));
    }

    #[test]
    fn a_text_of_more_than_255_bytes_is_refused() {
        let finish = |length: usize| PropertiesBuilder::new().kind("t".repeat(length)).finish();
        assert!(finish(255).is_ok());
        assert_eq!(finish(256), Err(PropertiesError::TooLong));
    }

    #[test]
    fn headers_that_are_no_table_are_refused() {
        let refused = PropertiesBuilder::new().headers(*b"\0\0\0\x01").finish();
        assert!(refused.is_err());
    }
}
