//! Frames of AMQP 0-9-1: a header of 7 bytes, the payload, one octet at the end.

use bytes::{BufMut, Bytes, BytesMut};

/// The first 8 bytes of a connection. A server sends them back to a peer that speaks another protocol.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// The bytes of a frame besides its payload. The size that is negotiated counts them.
pub const OVERHEAD: usize = HEADER_LENGTH + 1;

/// The bytes before the payload.
const HEADER_LENGTH: usize = 7;

/// The octet after the payload.
const FRAME_END: u8 = 0xCE;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A method and its arguments.
    Method,
    /// The size and the properties of a message.
    Header,
    /// A part of a message's body.
    Body,
    /// A sign of life, always without a payload and on channel 0.
    Heartbeat,
}

impl Kind {
    /// The kind with this octet.
    fn of(octet: u8) -> Result<Self, FrameError> {
        match octet {
            1 => Ok(Self::Method),
            2 => Ok(Self::Header),
            3 => Ok(Self::Body),
            8 => Ok(Self::Heartbeat),
            _ => Err(FrameError::UnknownKind(octet)),
        }
    }

    /// The octet of this kind.
    const fn octet(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: Kind,
    /// The channel; 0 is the connection itself.
    pub channel: u16,
    /// The payload. It shares the memory of the buffer that it was read from.
    pub payload: Bytes,
}

/// Bytes that are no frame. Nothing after them can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first octet names no kind of frame.
    #[error("unknown frame type {0}")]
    UnknownKind(u8),
    /// The frame exceeds the negotiated size.
    #[error("a frame with a payload of {payload} bytes exceeds frame_max {frame_max}")]
    TooLarge {
        /// The size of the payload.
        payload: usize,
        /// The negotiated size.
        frame_max: u32,
    },
    /// The octet after the payload is another one.
    #[error("the frame ends with octet {0:#04x}, not 0xce")]
    End(u8),
    /// A heartbeat is on another channel than 0, or it has a payload.
    #[error("a heartbeat on channel {channel} with a payload of {payload} bytes")]
    Heartbeat {
        /// The channel.
        channel: u16,
        /// The size of the payload.
        payload: usize,
    },
}

/// The first frame in `buffer`, or none if it is not complete yet.
///
/// The size is checked as soon as the 7 bytes before the payload are there. `frame_max` counts all bytes of a frame;
/// 0 does not mean "no limit" here. After an error, `buffer` holds the bytes still, and the connection has to end.
///
/// # Errors
///
/// When the bytes are no frame.
pub fn decode(buffer: &mut BytesMut, frame_max: u32) -> Result<Option<Frame>, FrameError> {
    let Some(&first) = buffer.first() else {
        return Ok(None);
    };
    let kind = Kind::of(first)?;
    let Some(&[_, c0, c1, s0, s1, s2, s3]) = buffer.first_chunk::<HEADER_LENGTH>() else {
        return Ok(None);
    };
    let channel = u16::from_be_bytes([c0, c1]);
    let payload = length(u32::from_be_bytes([s0, s1, s2, s3]));
    if !fits(payload, frame_max) {
        return Err(FrameError::TooLarge { payload, frame_max });
    }
    if kind == Kind::Heartbeat && (channel != 0 || payload != 0) {
        return Err(FrameError::Heartbeat { channel, payload });
    }
    let Some(&end) = buffer.get(HEADER_LENGTH + payload) else {
        return Ok(None);
    };
    if end != FRAME_END {
        return Err(FrameError::End(end));
    }
    let mut frame = buffer.split_to(payload + OVERHEAD).freeze();
    Ok(Some(Frame {
        kind,
        channel,
        payload: frame.split_off(HEADER_LENGTH).slice(..payload),
    }))
}

/// Whether a frame with a payload of this length is within `frame_max`.
#[must_use]
pub fn fits(payload: usize, frame_max: u32) -> bool {
    payload <= length(frame_max).saturating_sub(OVERHEAD)
}

/// Appends one frame whose payload is all `parts`, one after the other.
///
/// Only a content header can exceed the peer's `frame_max`. The caller checks it with [`fits`] beforehand.
///
/// # Errors
///
/// When no frame can be so large. Nothing is appended then.
pub fn encode(
    out: &mut BytesMut,
    kind: Kind,
    channel: u16,
    parts: &[&[u8]],
) -> Result<(), FrameError> {
    let payload = parts.iter().map(|part| part.len()).sum::<usize>();
    let size = u32::try_from(payload).map_err(|_| FrameError::TooLarge {
        payload,
        frame_max: u32::MAX,
    })?;
    out.reserve(payload + OVERHEAD);
    out.put_u8(kind.octet());
    out.put_u16(channel);
    out.put_u32(size);
    for part in parts {
        out.put_slice(part);
    }
    out.put_u8(FRAME_END);
    Ok(())
}

/// Appends the body of a message as frames of `frame_max` bytes or less. An empty body has no frame.
///
/// # Errors
///
/// Never in practice: no part is larger than `frame_max`.
pub fn encode_body(
    out: &mut BytesMut,
    channel: u16,
    body: &[u8],
    frame_max: u32,
) -> Result<(), FrameError> {
    let size = length(frame_max).saturating_sub(OVERHEAD).max(1);
    out.reserve(body.len() + body.len().div_ceil(size) * OVERHEAD);
    for part in body.chunks(size) {
        encode(out, Kind::Body, channel, &[part])?;
    }
    Ok(())
}

/// A length that was read, as the type that counts memory.
fn length(size: u32) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
