//! The properties of a message.
//!
//! They stay as they were sent and are passed on so. One flat scan checks them; an accessor scans again.

use super::property::Property;
use super::table::{self, TableError, Value};
use super::table_builder::TableBuilder;
use bytes::{BufMut, Bytes, BytesMut};

/// The flags of properties that do not exist, and of a second word of flags.
const UNKNOWN_FLAGS: u16 = 0b11;

/// Bytes that are no properties, or properties that can't be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// The bytes end within a property, or before the flags.
    #[error("the properties end too early")]
    Truncated,
    /// Bytes follow the last property.
    #[error("{0} bytes follow the last property")]
    Trailing(usize),
    /// The flags name properties that do not exist.
    #[error("unknown property flags {0:#06x}")]
    UnknownFlags(u16),
    /// The headers are no table.
    #[error(transparent)]
    Headers(#[from] TableError),
    /// A short string is too long to be written.
    #[error("a property has more than 255 bytes")]
    TooLong,
}

/// The properties of a message: their flags and their values, as they were sent. They have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    raw: Bytes,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            raw: Bytes::from_static(&[0, 0]),
        }
    }
}

impl Properties {
    /// The properties that `raw` holds. They share its memory.
    ///
    /// # Errors
    ///
    /// When the bytes are something else, or when others follow.
    pub fn parse(raw: Bytes) -> Result<Self, PropertiesError> {
        let properties = Self::parse_flat(raw)?;
        properties.check_depth()?;
        Ok(properties)
    }

    /// As [`Properties::parse`], with headers that may be nested to any depth. The deepest levels are not looked into:
    /// [`Properties::check_depth`] does that.
    ///
    /// # Errors
    ///
    /// When the bytes are something else, or when others follow.
    pub fn parse_any_depth(raw: Bytes) -> Result<Self, PropertiesError> {
        let properties = Self::parse_flat(raw)?;
        if let Some(headers) = properties.value(Property::Headers) {
            table::check_outer(headers)?;
        }
        Ok(properties)
    }

    /// Checks that the headers are a table on all their levels, which are [`table::MAX_DEPTH`] at most.
    ///
    /// # Errors
    ///
    /// When they are not.
    pub fn check_depth(&self) -> Result<(), TableError> {
        let headers = self.value(Property::Headers);
        headers.map_or(Ok(()), |headers| table::check(headers).map(drop))
    }

    /// As [`Properties::parse`], without a look into the headers. What is read of them later ends with the first mistake.
    ///
    /// # Errors
    ///
    /// When the bytes are something else, or when others follow.
    pub fn parse_flat(raw: Bytes) -> Result<Self, PropertiesError> {
        let (flags, mut rest) = flags_and_values(&raw).ok_or(PropertiesError::Truncated)?;
        if flags & UNKNOWN_FLAGS != 0 {
            return Err(PropertiesError::UnknownFlags(flags));
        }
        for property in present(flags) {
            let (_, after) = property.split(rest).ok_or(PropertiesError::Truncated)?;
            rest = after;
        }
        if !rest.is_empty() {
            return Err(PropertiesError::Trailing(rest.len()));
        }
        Ok(Self { raw })
    }

    /// The flags and the values, as they were sent.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The same properties in memory of their own. The original shares the buffer that it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            raw: Bytes::copy_from_slice(&self.raw),
        }
    }

    /// The MIME type of the body.
    #[must_use]
    pub fn content_type(&self) -> Option<&[u8]> {
        self.short(Property::ContentType)
    }

    /// The encoding of the body.
    #[must_use]
    pub fn content_encoding(&self) -> Option<&[u8]> {
        self.short(Property::ContentEncoding)
    }

    /// The table of the headers, without its length.
    #[must_use]
    pub fn headers(&self) -> Option<&[u8]> {
        self.value(Property::Headers)?.get(4..)
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &[u8]) -> Option<Value<'_>> {
        let mut entries = table::entries(self.headers()?).map_while(Result::ok);
        entries
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// 2 for a persistent message, 1 for another.
    #[must_use]
    pub fn delivery_mode(&self) -> Option<u8> {
        self.value(Property::DeliveryMode)?.first().copied()
    }

    /// The priority.
    #[must_use]
    pub fn priority(&self) -> Option<u8> {
        self.value(Property::Priority)?.first().copied()
    }

    /// What the message belongs to.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&[u8]> {
        self.short(Property::CorrelationId)
    }

    /// Where an answer goes.
    #[must_use]
    pub fn reply_to(&self) -> Option<&[u8]> {
        self.short(Property::ReplyTo)
    }

    /// How long the message may wait, as digits.
    #[must_use]
    pub fn expiration(&self) -> Option<&[u8]> {
        self.short(Property::Expiration)
    }

    /// The message's id.
    #[must_use]
    pub fn message_id(&self) -> Option<&[u8]> {
        self.short(Property::MessageId)
    }

    /// A time, in seconds since 1970.
    #[must_use]
    pub fn timestamp(&self) -> Option<u64> {
        let bytes = self.value(Property::Timestamp)?.first_chunk()?;
        Some(u64::from_be_bytes(*bytes))
    }

    /// The property `type`.
    #[must_use]
    pub fn kind(&self) -> Option<&[u8]> {
        self.short(Property::Type)
    }

    /// The user who sent the message.
    #[must_use]
    pub fn user_id(&self) -> Option<&[u8]> {
        self.short(Property::UserId)
    }

    /// The application that sent the message.
    #[must_use]
    pub fn app_id(&self) -> Option<&[u8]> {
        self.short(Property::AppId)
    }

    /// The property `cluster-id`, which has no use.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&[u8]> {
        self.short(Property::ClusterId)
    }

    /// The same properties with an integer in the headers. It replaces all headers of this name.
    ///
    /// # Errors
    ///
    /// When the name has more than 255 bytes, or the headers more than 4 GiB.
    pub fn with_header(&self, name: &str, value: i64) -> Result<Self, PropertiesError> {
        let mut headers = TableBuilder::new();
        for entry in table::raw_entries(self.headers().unwrap_or_default()) {
            let entry = entry?;
            if entry.name != name.as_bytes() {
                headers = headers.raw(entry.name, entry.raw);
            }
        }
        self.with(Property::Headers, &headers.integer(name, value).finish()?)
    }

    /// The same properties with another address for answers.
    ///
    /// # Errors
    ///
    /// When the address has more than 255 bytes.
    pub fn with_reply_to(&self, address: &str) -> Result<Self, PropertiesError> {
        let length = u8::try_from(address.len()).map_err(|_| PropertiesError::TooLong)?;
        self.with(Property::ReplyTo, &[&[length], address.as_bytes()].concat())
    }

    /// The same properties with another value of one of them.
    fn with(&self, property: Property, value: &[u8]) -> Result<Self, PropertiesError> {
        let (flags, values) = flags_and_values(&self.raw).ok_or(PropertiesError::Truncated)?;
        let before = present(flags).take_while(|other| *other < property);
        let mut rest = values;
        for other in before {
            (_, rest) = other.split(rest).ok_or(PropertiesError::Truncated)?;
        }
        let before = values.len() - rest.len();
        let old = self.value(property).map_or(0, <[u8]>::len);
        let mut raw = BytesMut::with_capacity(self.raw.len() + value.len());
        raw.put_u16(flags | property.flag());
        raw.put_slice(values.get(..before).unwrap_or_default());
        raw.put_slice(value);
        raw.put_slice(rest.get(old..).unwrap_or_default());
        Ok(Self { raw: raw.freeze() })
    }

    /// A short string, without its length.
    fn short(&self, property: Property) -> Option<&[u8]> {
        self.value(property)?.get(1..)
    }

    /// The bytes of a property.
    fn value(&self, wanted: Property) -> Option<&[u8]> {
        let (flags, mut rest) = flags_and_values(&self.raw)?;
        if flags & wanted.flag() == 0 {
            return None;
        }
        for property in present(flags) {
            let (value, after) = property.split(rest)?;
            if property == wanted {
                return Some(value);
            }
            rest = after;
        }
        None
    }
}

/// The flags, and the values behind them.
fn flags_and_values(raw: &[u8]) -> Option<(u16, &[u8])> {
    let (flags, values) = raw.split_first_chunk()?;
    Some((u16::from_be_bytes(*flags), values))
}

/// The properties that these flags name, in the order of their values.
fn present(flags: u16) -> impl Iterator<Item = Property> {
    let all = Property::ALL.into_iter();
    all.filter(move |property| flags & property.flag() != 0)
}

#[cfg(test)]
mod tests;
