//! Field tables of AMQP 0-9-1, as RabbitMQ reads and writes them, without a tree in memory.

/// Maximum nesting of tables and arrays. The outermost table counts.
pub const MAX_DEPTH: usize = 32;

/// Bytes that are no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A value, or the table itself, is longer than what holds it.
    #[error("a table ends within a value")]
    Truncated,
    /// The octet before a value names no type.
    #[error("a table has a value of unknown type {0:#04x}")]
    UnknownType(u8),
    /// Tables and arrays are nested too deeply.
    #[error("a table has more than {MAX_DEPTH} levels")]
    TooDeep,
    /// The table has more values than its reader takes.
    #[error("a table has more than {0} values")]
    TooMany(usize),
    /// A name or a value is too long to be written.
    #[error("a table's name or value is too long")]
    TooLong,
}

/// One value. Nested tables and arrays stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A long string or a byte array.
    Text(&'a [u8]),
    /// An integer of any width, or a timestamp. A timestamp of 2^63 or more is negative here.
    Integer(i64),
    /// A boolean.
    Bool(bool),
    /// No value.
    Void,
    /// Any other value: its type octet and its bytes.
    Other(&'a [u8]),
}

/// One entry of a table, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name, without a rule about its encoding.
    pub name: &'a [u8],
    /// The type octet and the bytes of the value.
    pub raw: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The value.
    #[must_use]
    pub fn value(&self) -> Value<'a> {
        let Some((&kind, bytes)) = self.raw.split_first() else {
            return Value::Void;
        };
        match kind {
            b'S' | b'x' => Value::Text(bytes.get(4..).unwrap_or_default()),
            b't' => Value::Bool(bytes.iter().any(|octet| *octet != 0)),
            b'V' => Value::Void,
            b'b' | b's' | b'U' | b'I' | b'l' | b'L' | b'T' => Value::Integer(signed(bytes)),
            b'B' | b'u' | b'i' => Value::Integer(unsigned(bytes)),
            _ => Value::Other(self.raw),
        }
    }
}

/// A signed integer of up to 8 bytes.
fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|octet| octet & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    bytes.iter().copied().fold(start, append)
}

/// An unsigned integer of up to 4 bytes.
fn unsigned(bytes: &[u8]) -> i64 {
    bytes.iter().copied().fold(0, append)
}

/// `value` with one more octet behind it.
fn append(value: i64, octet: u8) -> i64 {
    (value << 8) | i64::from(octet)
}

/// Where a level of nesting ends, and whether its values have names.
#[derive(Clone, Copy, Default)]
struct Level {
    end: usize,
    named: bool,
}

/// The length of the table at the start of `bytes`, with its four bytes of length, once all levels have been checked.
///
/// # Errors
///
/// When there is no valid table.
pub fn check(bytes: &[u8]) -> Result<usize, TableError> {
    check_bounded(bytes, usize::MAX)
}

/// As [`check`], without a look into what is nested deeper than [`MAX_DEPTH`]: its bytes are skipped by their length.
///
/// # Errors
///
/// When there is no valid table.
pub fn check_outer(bytes: &[u8]) -> Result<usize, TableError> {
    walk(bytes, usize::MAX, Deeper::Skipped)
}

/// As [`check`], for a table with at most `max_values` values on all its levels.
///
/// # Errors
///
/// When there is no valid table, or when it has more values.
pub fn check_bounded(bytes: &[u8], max_values: usize) -> Result<usize, TableError> {
    walk(bytes, max_values, Deeper::Refused)
}

/// What becomes of levels beyond [`MAX_DEPTH`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deeper {
    Refused,
    Skipped,
}

fn walk(bytes: &[u8], max_values: usize, deeper: Deeper) -> Result<usize, TableError> {
    let length = prefixed(bytes, 0)?;
    let mut levels = [Level::default(); MAX_DEPTH];
    let mut depth = 0_usize;
    let mut level = Level {
        end: length,
        named: true,
    };
    let mut at = 4;
    let mut values = 0;
    loop {
        while at == level.end {
            let Some(above) = depth.checked_sub(1) else {
                return Ok(length);
            };
            depth = above;
            level = levels.get(depth).copied().unwrap_or_default();
        }
        values += 1;
        if values > max_values {
            return Err(TableError::TooMany(max_values));
        }
        let inside = bytes.get(..level.end).unwrap_or_default();
        if level.named {
            at += 1 + usize::from(*inside.get(at).ok_or(TableError::Truncated)?);
        }
        let kind = *inside.get(at).ok_or(TableError::Truncated)?;
        let end = value_end(inside, at)?;
        // The level in hand is not among those that were put aside.
        let too_deep = depth + 1 >= MAX_DEPTH;
        if matches!(kind, b'F' | b'A') && !(too_deep && deeper == Deeper::Skipped) {
            if too_deep {
                return Err(TableError::TooDeep);
            }
            if let Some(place) = levels.get_mut(depth) {
                *place = level;
            }
            depth += 1;
            level = Level {
                end,
                named: kind == b'F',
            };
            at += 5;
        } else {
            at = end;
        }
    }
}

/// The end of the value whose type octet is at `at`.
fn value_end(bytes: &[u8], at: usize) -> Result<usize, TableError> {
    let kind = *bytes.get(at).ok_or(TableError::Truncated)?;
    let size = match kind {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' | b'U' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'S' | b'x' | b'A' | b'F' => return prefixed(bytes, at + 1),
        other => return Err(TableError::UnknownType(other)),
    };
    let end = at + 1 + size;
    if end > bytes.len() {
        return Err(TableError::Truncated);
    }
    Ok(end)
}

/// The end of what begins at `at` with its length in four bytes.
fn prefixed(bytes: &[u8], at: usize) -> Result<usize, TableError> {
    let rest = bytes.get(at..).ok_or(TableError::Truncated)?;
    let (length, content) = rest.split_first_chunk().ok_or(TableError::Truncated)?;
    match usize::try_from(u32::from_be_bytes(*length)) {
        Ok(length) if length <= content.len() => Ok(at + 4 + length),
        _ => Err(TableError::Truncated),
    }
}

/// The entries of a table whose bytes, without the length, are `content`. Only the top level is read.
pub fn entries(content: &[u8]) -> impl Iterator<Item = Result<(&[u8], Value<'_>), TableError>> {
    raw_entries(content).map(|entry| entry.map(|entry| (entry.name, entry.value())))
}

/// As [`entries`], with the values as they were sent.
pub fn raw_entries(content: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, TableError>> {
    let mut rest = content;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = first_entry(rest);
        rest = match entry {
            Ok((_, rest)) => rest,
            Err(_) => &[],
        };
        Some(entry.map(|(entry, _)| entry))
    })
}

/// The first entry of `content`, and what follows it.
fn first_entry(content: &[u8]) -> Result<(Entry<'_>, &[u8]), TableError> {
    let (&length, rest) = content.split_first().ok_or(TableError::Truncated)?;
    let (name, rest) = rest
        .split_at_checked(usize::from(length))
        .ok_or(TableError::Truncated)?;
    let (raw, rest) = rest
        .split_at_checked(value_end(rest, 0)?)
        .ok_or(TableError::Truncated)?;
    Ok((Entry { name, raw }, rest))
}

#[cfg(test)]
mod tests;
