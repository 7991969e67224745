//! Texts of strangers for a terminal: nothing in them moves the cursor, changes colours, or turns the direction of writing.

use crate::util::is_invisible;
use std::fmt::Write;

/// The text on one line. What would break the line, or do something else to a terminal, is escaped.
pub(super) fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same, with its own lines and tabs.
pub(super) fn lines(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// The beginning of a text on one line, `most` characters of it at most.
pub(super) fn cut(text: &str, most: usize) -> String {
    let whole = line(text);
    if whole.chars().count() <= most {
        return whole;
    }
    let begin: String = whole.chars().take(most.saturating_sub(1)).collect();
    begin + "…"
}

fn escaped(text: &str, keeps: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if keeps(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_invisible(c) => {
                // Writing to a text does not fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_does_something_to_the_terminal() {
        let text = "a\u{1b}[2J\r\n\tb\u{202e}c\u{9b}é";
        assert_eq!(line(text), "a\\u{1b}[2J\\r\\n\\tb\\u{202e}c\\u{9b}é");
        assert_eq!(lines("a\n\tb\r"), "a\n\tb\\r");
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 5), "abcd…");
    }
}
