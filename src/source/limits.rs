//! Cuts texts to the limits of AWS.

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

    #[test]
    fn a_cut_text_says_how_long_it_was() {
        let short = cut("é".repeat(300), 256);
        assert_eq!(short.chars().count(), 256);
        assert!(short.ends_with("… [cut, was 300 characters]"), "{short}");
    }
}
