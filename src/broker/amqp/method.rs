//! Methods of AMQP 0-9-1, read and written by `amq_protocol`.
//!
//! Its parser recurses without a bound and holds a table as a tree. A table is therefore checked before it is parsed.

use super::frame::{self, Kind};
use super::table::{self, TableError};
use amq_protocol::frame::{ParserError, WriteContext};
use amq_protocol::protocol::{AMQPClass, gen_class, parse_class};
use amq_protocol::types::ShortString;
use bytes::{Bytes, BytesMut};

/// Maximum number of values in the table of a method, on all its levels. Clients send a dozen.
const MAX_VALUES: usize = 1_024;

/// Maximum length of a short string.
const MAX_SHORT_STRING: usize = 255;

/// Bytes that are no method, or a method that can't be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// The bytes end before the ids of class and method.
    #[error("a method of {0} bytes")]
    Truncated(usize),
    /// No method has these ids.
    #[error("unknown method {method} of class {class}")]
    Unknown {
        /// The id of the class.
        class: u16,
        /// The id of the method.
        method: u16,
    },
    /// The arguments end too early, others follow them, or a short string is not UTF-8.
    #[error("method {method} of class {class} has malformed arguments")]
    Malformed {
        /// The id of the class.
        class: u16,
        /// The id of the method.
        method: u16,
    },
    /// The table among the arguments can't be used.
    #[error("method {method} of class {class} is malformed: {error}")]
    Table {
        /// The id of the class.
        class: u16,
        /// The id of the method.
        method: u16,
        /// What is wrong with the table.
        error: TableError,
    },
    /// The method can't be written.
    #[error("method {method} of class {class} can't be written")]
    Unwritable {
        /// The id of the class.
        class: u16,
        /// The id of the method.
        method: u16,
    },
}

impl MethodError {
    /// The ids of class and method, where they were there.
    #[must_use]
    pub fn ids(&self) -> Option<(u16, u16)> {
        match *self {
            Self::Truncated(_) => None,
            Self::Unknown { class, method }
            | Self::Malformed { class, method }
            | Self::Table { class, method, .. }
            | Self::Unwritable { class, method } => Some((class, method)),
        }
    }
}

/// The method in the payload of a frame.
///
/// # Errors
///
/// When the payload is something else, or when its table is too deep or too large.
pub fn decode(payload: &Bytes) -> Result<AMQPClass, MethodError> {
    let Some((&[c0, c1, m0, m1], arguments)) = payload.split_first_chunk() else {
        return Err(MethodError::Truncated(payload.len()));
    };
    let class = u16::from_be_bytes([c0, c1]);
    let method = u16::from_be_bytes([m0, m1]);
    if let Some(fields) = before_table(class, method) {
        // Without a start of the table, the parser refuses the method before it gets there.
        if let Some(table) = skip(arguments, fields) {
            table::check_bounded(table, MAX_VALUES).map_err(|error| MethodError::Table {
                class,
                method,
                error,
            })?;
        }
    }
    match parse_class(&payload[..]) {
        Ok(([], parsed)) => Ok(parsed),
        Err(ParserError::Error(_)) if !is_known([c0, c1, m0, m1]) => {
            Err(MethodError::Unknown { class, method })
        }
        _ => Err(MethodError::Malformed { class, method }),
    }
}

/// Whether there is a method with these ids. The parser asks for more bytes then, or has its method already.
fn is_known(ids: [u8; 4]) -> bool {
    !matches!(
        parse_class(&ids[..]),
        Err(ParserError::Error(_) | ParserError::Failure(_))
    )
}

/// A field before a table.
#[derive(Clone, Copy)]
enum Field {
    /// This number of bytes.
    Fixed(usize),
    /// A short string.
    Short,
}

/// The fields before the table, for a method that has one.
const fn before_table(class: u16, method: u16) -> Option<&'static [Field]> {
    use Field::{Fixed, Short};
    match (class, method) {
        // connection.start and start-ok. A client sends only the second, but anyone can send anything.
        (10, 10) => Some(&[Fixed(2)]),
        (10, 11) => Some(&[]),
        // exchange.declare; basic.consume.
        (40, 10) | (60, 20) => Some(&[Fixed(2), Short, Short, Fixed(1)]),
        // exchange.bind and unbind; queue.bind.
        (40, 30 | 40) | (50, 20) => Some(&[Fixed(2), Short, Short, Short, Fixed(1)]),
        // queue.declare.
        (50, 10) => Some(&[Fixed(2), Short, Fixed(1)]),
        // queue.unbind, which has no flags.
        (50, 50) => Some(&[Fixed(2), Short, Short, Short]),
        _ => None,
    }
}

/// What follows these fields.
fn skip<'a>(arguments: &'a [u8], fields: &[Field]) -> Option<&'a [u8]> {
    fields
        .iter()
        .try_fold(arguments, |rest, field| match field {
            Field::Fixed(length) => rest.get(*length..),
            Field::Short => rest.get(1 + usize::from(*rest.first()?)..),
        })
}

/// Appends a whole frame with this method.
///
/// # Errors
///
/// When the method can't be written. Nothing is appended then.
pub fn encode(method: &AMQPClass, channel: u16, out: &mut BytesMut) -> Result<(), MethodError> {
    let unwritable = || MethodError::Unwritable {
        class: method.get_amqp_class_id(),
        method: method.get_amqp_method_id(),
    };
    let buffer = WriteContext::from(Vec::with_capacity(128));
    let written = gen_class(method)(buffer).map_err(|_| unwritable())?;
    let (payload, _) = written.into_inner();
    frame::encode(out, Kind::Method, channel, &[&payload]).map_err(|_| unwritable())
}

/// `text` as a short string, cut after 255 bytes at the end of a character. Its plain conversion panics there.
#[must_use]
pub fn short_string(text: &str) -> ShortString {
    let end = text.floor_char_boundary(MAX_SHORT_STRING);
    let short = text.get(..end).unwrap_or_default();
    ShortString::try_new(short).unwrap_or_default()
}

#[cfg(test)]
mod tests;
