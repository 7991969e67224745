//! W3C trace context.

use std::{fmt, str::FromStr};

/// Trace context as W3C writes it: <https://www.w3.org/TR/trace-context/#traceparent-header>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// The id of the trace; not 0.
    pub trace_id: u128,
    /// The id of the parent span; not 0.
    pub span_id: u64,
    /// Bit 0: the trace is sampled.
    pub flags: u8,
}

/// Why a text is not a `traceparent`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct NotATraceparent;

/// The length of version 00. Later versions begin with the same part.
const LENGTH: usize = 55;

impl FromStr for Traceparent {
    type Err = NotATraceparent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (known, more) = text.split_at_checked(LENGTH).ok_or(NotATraceparent)?;
        let mut parts = known.split('-');
        let mut part = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits);
            let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
            part.filter(|part| part.bytes().all(hex))
                .and_then(|part| u128::from_str_radix(part, 16).ok())
                .ok_or(NotATraceparent)
        };
        let (version, trace_id, span_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let rest_fits = more.is_empty() || (version > 0 && more.starts_with('-'));
        if version == 0xff || trace_id == 0 || span_id == 0 || !rest_fits {
            return Err(NotATraceparent);
        }
        Ok(Self {
            trace_id,
            span_id: u64::try_from(span_id).map_err(|_| NotATraceparent)?,
            flags: u8::try_from(flags).map_err(|_| NotATraceparent)?,
        })
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            flags,
        } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}
