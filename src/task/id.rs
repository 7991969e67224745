//! The bridge's own id of a task.

use std::{fmt, str::FromStr};

/// The bridge's own id of a task: 128 random bits, written as 32 hexadecimal digits.
///
/// Workers see it as `message_id` and `correlation_id`. The AWS token can't be used there: it is longer than the 255
/// bytes that these properties hold, and it would allow any reader of the queue to settle the task.
///
/// Who knows the whole id and can publish replies can settle the task. So an id that is written as a text shows its first
/// eight digits, in the log as well as anywhere else. [`TaskId::reveal`] gives the whole id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u128);

impl TaskId {
    /// A new id from the thread's cryptographic generator, so that nobody can guess one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The whole id: 32 hexadecimal digits. For messages and stores, and for who may know it.
    #[must_use]
    pub fn reveal(self) -> String {
        format!("{:032x}", self.0)
    }

    /// The first eight digits, as a number.
    #[must_use]
    pub fn first_digits(self) -> u32 {
        u32::try_from(self.0 >> 96).expect("32 bits are left")
    }

    /// The id that a worker's `correlation_id` means. Many clients read the id as a UUID, and write it with dashes, capitals
    /// or braces.
    ///
    /// # Errors
    ///
    /// When it is no id, however it is written.
    pub fn from_correlation_id(text: &str) -> Result<Self, NotATaskId> {
        let braced = text.strip_prefix('{');
        let plain = braced.map_or(Some(text), |rest| rest.strip_suffix('}'));
        let mut digits = plain.ok_or(NotATaskId)?.chars().filter(|c| *c != '-');
        let mut bits = 0;
        for _ in 0..DIGITS {
            let digit = digits.next().and_then(|digit| digit.to_digit(16));
            bits = (bits << 4) | u128::from(digit.ok_or(NotATaskId)?);
        }
        match digits.next() {
            None => Ok(Self(bits)),
            Some(_) => Err(NotATaskId),
        }
    }
}

/// The number of digits of an id.
const DIGITS: usize = 32;

impl From<u128> for TaskId {
    fn from(bits: u128) -> Self {
        Self(bits)
    }
}

impl From<TaskId> for u128 {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

/// Shows the first eight digits.
impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.first_digits())
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a task id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task id is 32 lower-case hexadecimal digits")]
pub struct NotATaskId;

impl FromStr for TaskId {
    type Err = NotATaskId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits =
            text.len() == DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !digits {
            return Err(NotATaskId);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| NotATaskId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_written() {
        let id = TaskId::random();
        assert_eq!(id.reveal().parse(), Ok(id));
        assert_eq!(TaskId(7).reveal().len(), 32);
    }

    #[test]
    fn a_text_shows_eight_digits_of_an_id() {
        for id in [TaskId::random(), TaskId(7), TaskId(u128::MAX)] {
            let whole = id.reveal();
            assert_eq!(id.to_string(), whole[..8]);
            assert_eq!(format!("{id:?}"), whole[..8]);
        }
    }

    #[test]
    fn a_correlation_id_may_be_written_as_a_uuid() {
        let id = TaskId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        for text in [
            "0123456789abcdef0123456789abcdef",
            "0123456789ABCDEF0123456789ABCDEF",
            "01234567-89ab-cdef-0123-456789abcdef",
            "{01234567-89AB-CDEF-0123-456789ABCDEF}",
            "{0123456789abcdef0123456789abcdef}",
        ] {
            assert_eq!(TaskId::from_correlation_id(text), Ok(id), "{text}");
        }
        for text in [
            "",
            "-",
            "{}",
            "{0123456789abcdef0123456789abcdef",
            "0123456789abcdef0123456789abcdef}",
            "{{0123456789abcdef0123456789abcdef}}",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcdef0",
            "0123456789abcdef0123456789abcdeg",
            "+123456789abcdef0123456789abcdef",
            "0123456789abcdef 0123456789abcdef",
        ] {
            assert_eq!(TaskId::from_correlation_id(text), Err(NotATaskId), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_an_id_is_refused() {
        for text in ["", "7", &"g".repeat(32), &"A".repeat(32), &"+".repeat(32)] {
            assert_eq!(text.parse::<TaskId>(), Err(NotATaskId), "{text}");
        }
    }
}
