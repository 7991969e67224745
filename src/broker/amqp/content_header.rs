//! Content headers: how long a message is, and its properties.

use super::frame::{self, FrameError, Kind};
use super::properties::{Properties, PropertiesError};
use bytes::{Buf, Bytes, BytesMut};

/// The class whose methods carry content: `basic`.
pub const CLASS_BASIC: u16 = 60;

/// The bytes before the properties: class, weight and size.
pub(crate) const FIXED_LENGTH: usize = 12;

/// What precedes the body of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentHeader {
    /// The class of the method that carries the message; always [`CLASS_BASIC`] after decoding.
    pub class: u16,
    /// The size of the body, as the sender announces it.
    pub body_size: u64,
    /// The properties.
    pub properties: Properties,
}

/// Bytes that are no content header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentHeaderError {
    /// The bytes end before the properties.
    #[error("a content header of {0} bytes")]
    Truncated(usize),
    /// Another class than `basic`. Its properties would be others.
    #[error("a content header of class {0}")]
    Class(u16),
    /// A weight that is not 0. No version of the protocol uses it.
    #[error("a content header of weight {0}")]
    Weight(u16),
    /// The properties can't be read.
    #[error("a content header can't be read: {0}")]
    Properties(#[from] PropertiesError),
}

impl ContentHeader {
    /// A message of the class `basic`.
    #[must_use]
    pub fn new(body_size: u64, properties: Properties) -> Self {
        Self {
            class: CLASS_BASIC,
            body_size,
            properties,
        }
    }

    /// The content header in the payload of a frame. The properties share its memory. Their headers may be nested to any depth,
    /// because one such message must not end the connection of those beside it.
    ///
    /// # Errors
    ///
    /// When the payload is something else.
    pub fn decode(payload: &Bytes) -> Result<Self, ContentHeaderError> {
        Self::decode_with(payload, Properties::parse_any_depth)
    }

    /// As [`ContentHeader::decode`], without a look into the headers. Properties that can't be read count as none.
    ///
    /// # Errors
    ///
    /// When the payload is no content header.
    pub fn decode_any(payload: &Bytes) -> Result<Self, ContentHeaderError> {
        Self::decode_with(payload, |raw| {
            Ok(Properties::parse_flat(raw).unwrap_or_default())
        })
    }

    fn decode_with(
        payload: &Bytes,
        parse: fn(Bytes) -> Result<Properties, PropertiesError>,
    ) -> Result<Self, ContentHeaderError> {
        let mut rest = payload.clone();
        if rest.len() < FIXED_LENGTH {
            return Err(ContentHeaderError::Truncated(rest.len()));
        }
        let class = rest.get_u16();
        if class != CLASS_BASIC {
            return Err(ContentHeaderError::Class(class));
        }
        let weight = rest.get_u16();
        if weight != 0 {
            return Err(ContentHeaderError::Weight(weight));
        }
        let body_size = rest.get_u64();
        let properties = parse(rest)?;
        Ok(Self {
            class,
            body_size,
            properties,
        })
    }

    /// The size of the payload of this header's frame. The peer's `frame_max` may be too small for it.
    #[must_use]
    pub fn payload_length(&self) -> usize {
        FIXED_LENGTH + self.properties.raw().len()
    }

    /// Appends the whole frame.
    ///
    /// # Errors
    ///
    /// When no frame can be so large. Nothing is appended then.
    pub fn encode(&self, channel: u16, out: &mut BytesMut) -> Result<(), FrameError> {
        let class = self.class.to_be_bytes();
        let size = self.body_size.to_be_bytes();
        let parts: [&[u8]; 4] = [&class, &[0, 0], &size, self.properties.raw()];
        frame::encode(out, Kind::Header, channel, &parts)
    }
}

#[cfg(test)]
mod tests;
