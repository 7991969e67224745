//! Characters that a text of a stranger should not bring to a terminal or a line of the log.

/// Whether a character can do something to a terminal, end a line, change the direction of writing, or hide.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_turns_or_hides_is_invisible_and_letters_and_spaces_are_not() {
        for c in "\0\n\u{1b}\u{7f}\u{9b}\u{61c}\u{200b}\u{200d}\u{200f}\u{2028}\u{202e}\u{2060}\u{2066}\u{feff}".chars() {
            assert!(is_invisible(c), "{c:?}");
        }
        for c in "a Ä\u{a0}é…–א中🙂".chars() {
            assert!(!is_invisible(c), "{c:?}");
        }
    }
}
