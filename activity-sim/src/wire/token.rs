//! Task tokens, as long and opaque as those of the services. A token is computed and not stored. It has
//! the numbers of its simulator and its task. The rest is computed from the two numbers, so a changed
//! token is recognized.

use crate::world::TaskNo;

/// About the length of the real tokens.
const LENGTH: usize = 600;
/// Length of two numbers of 16 hexadecimal digits.
const NUMBERS: usize = 32;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The service that issued a token. Each service accepts only its own tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Issuer {
    Swf,
    StepFunctions,
}

impl Issuer {
    /// The beginning of its tokens.
    fn prefix(self) -> &'static str {
        match self {
            Self::Swf => "AAAAKgAAAAIAAAAAAAAA",
            Self::StepFunctions => "AQCEAAAAKgAAAAMAAAAA",
        }
    }
}

/// The result of decoding a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A token of this simulator.
    Task(TaskNo),
    /// A token of another simulator, for instance of an earlier run.
    Foreign,
    /// Not a token.
    Invalid,
}

/// The token of a task.
pub(crate) fn encode(issuer: Issuer, nonce: u64, task: TaskNo) -> String {
    let mut token = String::with_capacity(LENGTH);
    token.push_str(issuer.prefix());
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

/// The task of a token.
pub(crate) fn decode(issuer: Issuer, nonce: u64, token: &str) -> Token {
    let digits = token.strip_prefix(issuer.prefix()).unwrap_or_default();
    let number = |at: usize| {
        let digits = digits.get(at..at + NUMBERS / 2)?;
        u64::from_str_radix(digits, 16).ok()
    };
    let (Some(theirs), Some(task)) = (number(0), number(NUMBERS / 2)) else {
        return Token::Invalid;
    };
    if encode(issuer, theirs, TaskNo(task)) != token {
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
            let token = encode(Issuer::Swf, 7, task);
            assert_eq!(token.len(), LENGTH);
            assert_eq!(decode(Issuer::Swf, 7, &token), Token::Task(task));
            assert_eq!(decode(Issuer::Swf, 8, &token), Token::Foreign);
        }
    }

    #[test]
    fn a_service_refuses_the_tokens_of_the_other() {
        let issuers = [Issuer::Swf, Issuer::StepFunctions];
        for (mine, other) in [(0, 1), (1, 0)].map(|(a, b)| (issuers[a], issuers[b])) {
            let token = encode(mine, 7, TaskNo(3));
            assert_eq!(decode(mine, 7, &token), Token::Task(TaskNo(3)));
            assert_eq!(decode(other, 7, &token), Token::Invalid);
        }
    }

    #[test]
    fn a_changed_token_is_invalid() {
        let token = encode(Issuer::Swf, 7, TaskNo(3));
        for at in 0..LENGTH {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(
                decode(Issuer::Swf, 7, &changed),
                Token::Invalid,
                "changed at {at}"
            );
        }
        for other in ["", "x", &token[1..], &token[..LENGTH - 1], &"é".repeat(300)] {
            assert_eq!(decode(Issuer::Swf, 7, other), Token::Invalid);
        }
    }
}
