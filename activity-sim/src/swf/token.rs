//! Task tokens: as long and opaque as the service's, and yet computed, not stored. A token names its
//! simulator and its task; the rest follows from the two, so that a changed token is recognised.

use crate::world::TaskNo;

/// About what the real ones have.
const LENGTH: usize = 600;
/// Two numbers of 16 hexadecimal digits.
const NUMBERS: usize = 32;
const PREFIX: &str = "AAAAKgAAAAIAAAAAAAAA";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a token turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// One of this simulator's.
    Task(TaskNo),
    /// One of another simulator's, as of a run before.
    Foreign,
    /// None at all.
    Invalid,
}

/// The token of a task.
pub(crate) fn encode(nonce: u64, task: TaskNo) -> String {
    let mut token = String::with_capacity(LENGTH);
    token.push_str(PREFIX);
    token.push_str(&format!("{nonce:016x}{:016x}", task.0));
    let mut seed = nonce ^ task.0.rotate_left(32);
    while token.len() < LENGTH {
        seed = mix(seed);
        for digit in 0..10.min(LENGTH - token.len()) {
            token.push(char::from(
                ALPHABET[(seed >> (6 * digit)) as usize % ALPHABET.len()],
            ));
        }
    }
    token
}

/// What a token stands for.
pub(crate) fn decode(nonce: u64, token: &str) -> Token {
    let number = |at: usize| {
        let digits = token.get(PREFIX.len() + at..PREFIX.len() + at + NUMBERS / 2)?;
        u64::from_str_radix(digits, 16).ok()
    };
    let (Some(theirs), Some(task)) = (number(0), number(NUMBERS / 2)) else {
        return Token::Invalid;
    };
    if encode(theirs, TaskNo(task)) != token {
        Token::Invalid
    } else if theirs == nonce {
        Token::Task(TaskNo(task))
    } else {
        Token::Foreign
    }
}

/// One step of splitmix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_task() {
        for task in [1, 2, 99_999, u64::MAX].map(TaskNo) {
            let token = encode(7, task);
            assert_eq!(token.len(), LENGTH);
            assert_eq!(decode(7, &token), Token::Task(task));
            assert_eq!(decode(8, &token), Token::Foreign);
        }
    }

    #[test]
    fn a_changed_token_is_invalid() {
        let token = encode(7, TaskNo(3));
        for at in 0..LENGTH {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(decode(7, &changed), Token::Invalid, "changed at {at}");
        }
        for other in ["", "x", &token[1..], &token[..LENGTH - 1], &"é".repeat(300)] {
            assert_eq!(decode(7, other), Token::Invalid);
        }
    }
}
