//! Field tables of the bridge's own.

use super::table::TableError;
use bytes::{BufMut, Bytes, BytesMut};

/// Writes a table, entry by entry.
#[derive(Debug, Default)]
pub struct TableBuilder {
    content: BytesMut,
    too_long: bool,
}

impl TableBuilder {
    /// A table without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a long string.
    #[must_use]
    pub fn text(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let Ok(length) = u32::try_from(value.len()) else {
            return self.refuse();
        };
        self.parts(name.as_ref(), &[b"S", &length.to_be_bytes(), value])
    }

    /// Appends a signed integer of 64 bits.
    #[must_use]
    pub fn integer(self, name: impl AsRef<[u8]>, value: i64) -> Self {
        self.parts(name.as_ref(), &[b"l", &value.to_be_bytes()])
    }

    /// Appends a boolean.
    #[must_use]
    pub fn boolean(self, name: impl AsRef<[u8]>, value: bool) -> Self {
        self.parts(name.as_ref(), &[b"t", &[u8::from(value)]])
    }

    /// Appends a table that another builder finished.
    #[must_use]
    pub fn table(self, name: impl AsRef<[u8]>, table: &[u8]) -> Self {
        self.parts(name.as_ref(), &[b"F", table])
    }

    /// Appends an entry of another table as it is: `raw` is a type octet and the bytes of the value.
    #[must_use]
    pub fn raw(self, name: impl AsRef<[u8]>, raw: &[u8]) -> Self {
        self.parts(name.as_ref(), &[raw])
    }

    /// The table with its length before it.
    ///
    /// # Errors
    ///
    /// When a name, a value or the whole is too long.
    pub fn finish(self) -> Result<Bytes, TableError> {
        let length = u32::try_from(self.content.len()).map_err(|_| TableError::TooLong)?;
        if self.too_long {
            return Err(TableError::TooLong);
        }
        let mut table = BytesMut::with_capacity(4 + self.content.len());
        table.put_u32(length);
        table.put_slice(&self.content);
        Ok(table.freeze())
    }

    fn parts(mut self, name: &[u8], parts: &[&[u8]]) -> Self {
        let Ok(length) = u8::try_from(name.len()) else {
            return self.refuse();
        };
        self.content.put_u8(length);
        self.content.put_slice(name);
        for part in parts {
            self.content.put_slice(part);
        }
        self
    }

    fn refuse(mut self) -> Self {
        self.too_long = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{Value, check, entries, raw_entries};
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let inner = TableBuilder::new()
            .boolean("basic.nack", true)
            .finish()
            .unwrap();
        let table = TableBuilder::new()
            .text("a", b"\xff")
            .integer("b", -7)
            .table("c", &inner)
            .raw("d", b"d\0\0\0\0\0\0\0\0")
            .finish()
            .unwrap();
        assert_eq!(check(&table), Ok(table.len()));
        let read: Vec<_> = entries(&table[4..]).map(Result::unwrap).collect();
        let nested = [b"F", &inner[..]].concat();
        let expected: [(&[u8], Value<'_>); 4] = [
            (b"a", Value::Text(b"\xff")),
            (b"b", Value::Integer(-7)),
            (b"c", Value::Other(&nested)),
            (b"d", Value::Other(b"d\0\0\0\0\0\0\0\0")),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn an_entry_that_is_copied_stays_the_same() {
        let table = TableBuilder::new()
            .text("a", "b")
            .integer("c", 1)
            .finish()
            .unwrap();
        let copy = raw_entries(&table[4..])
            .map(Result::unwrap)
            .fold(TableBuilder::new(), |copy, entry| {
                copy.raw(entry.name, entry.raw)
            });
        assert_eq!(copy.finish().unwrap(), table);
    }

    #[test]
    fn a_name_of_more_than_255_bytes_is_refused() {
        let finish = |length: usize| TableBuilder::new().integer("n".repeat(length), 1).finish();
        assert!(finish(255).is_ok());
        assert_eq!(finish(256), Err(TableError::TooLong));
    }
}
