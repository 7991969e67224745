//! Cuts texts to the limits of AWS, and AWS's own texts to one short line.

use super::error::SourceError;
use crate::util::is_invisible;

/// Cuts a text to `limit` characters. The end of a cut text says that it was cut, and how long it was.
#[must_use]
pub fn cut(text: String, limit: usize) -> String {
    // A text never has more characters than bytes.
    if text.len() <= limit {
        return text;
    }
    let length = text.chars().count();
    if length <= limit {
        return text;
    }
    let mark = format!("… [cut, was {length} characters]");
    let kept_chars = limit.saturating_sub(mark.chars().count());
    let mut short: String = text.chars().take(kept_chars).collect();
    short.extend(mark.chars().take(limit - kept_chars));
    short
}

/// Whether a text has more than `limit` characters.
pub(crate) fn is_longer(text: &str, limit: usize) -> bool {
    // A text never has more characters than bytes.
    text.len() > limit && text.chars().nth(limit).is_some()
}

/// The error of a poll whose task can't be ended, because its token is longer than any token of the service.
pub(crate) fn unusable_token(token: &str, limit: usize) -> SourceError {
    let bytes = token.len();
    SourceError::Unavailable(format!(
        "the token of a task has {bytes} bytes, and the service's tokens have at most {limit} characters; the task will time out"
    ))
}

/// A text of AWS on one line of at most about `limit` characters. A character that could begin a line, hide text or move the
/// cursor is escaped, so that nobody can forge a line of the log.
#[must_use]
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    // Most of a long text is never looked at.
    let mut head: String = text.chars().take(limit + 1).collect();
    if head.len() < text.len() {
        head.pop();
        let mark = format!("… [cut, was {} bytes]", text.len());
        return escaped(&head) + &mark;
    }
    escaped(&head)
}

fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match is_invisible(c) {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cut_text_fits_and_an_uncut_one_is_untouched(text in ".{0,200}", limit in 1_usize..120) {
            let short = cut(text.clone(), limit);
            prop_assert!(short.chars().count() <= limit);
            let fits = text.chars().count() <= limit;
            prop_assert_eq!(short == text, fits);
        }
    }

    proptest! {
        #[test]
        fn a_text_of_aws_becomes_one_line(text in "(?s).{0,200}", limit in 1_usize..100) {
            let line = one_line(&text, limit);
            prop_assert!(!line.chars().any(is_invisible));
            // Each character may be escaped.
            prop_assert!(line.chars().count() <= 10 * limit + 40);
        }
    }

    #[test]
    fn no_text_of_aws_begins_a_line_or_moves_the_cursor() {
        for (text, expected) in [
            ("plain, é", "plain, é"),
            ("a\nWARN forged", "a\\nWARN forged"),
            ("\u{1b}[2J\r\t\0", "\\u{1b}[2J\\r\\t\\u{0}"),
            ("a\u{2028}b\u{202e}c", "a\\u{2028}b\\u{202e}c"),
        ] {
            assert_eq!(one_line(text, 100), expected);
        }
        let cut = one_line(&"x".repeat(200_000), 100);
        assert_eq!(cut, format!("{}… [cut, was 200000 bytes]", "x".repeat(100)));
    }

    #[test]
    fn a_cut_text_says_how_long_it_was() {
        let short = cut("é".repeat(300), 256);
        assert_eq!(short.chars().count(), 256);
        assert!(short.ends_with("… [cut, was 300 characters]"), "{short}");
    }
}
