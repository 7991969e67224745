//! Whether a binding takes a message: patterns of words, and headers. Pure.

use std::collections::HashMap;

/// A header or a binding argument, reduced to what can be compared.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// Whether a topic pattern matches a key: `*` is one word, `#` any number of words. The time is the product of both
/// lengths.
pub(super) fn matches_topic(pattern: &str, key: &str) -> bool {
    let words: Vec<&str> = match key.is_empty() {
        true => Vec::new(),
        false => key.split('.').collect(),
    };
    // Which beginnings of the key the pattern up to here matches.
    let mut matched = vec![false; words.len() + 1];
    matched[0] = true;
    if pattern.is_empty() {
        return words.is_empty();
    }
    for part in pattern.split('.') {
        let mut next = vec![false; words.len() + 1];
        if part == "#" {
            let mut any = false;
            for (index, was) in matched.iter().enumerate() {
                any |= was;
                next[index] = any;
            }
        } else {
            for (index, word) in words.iter().enumerate() {
                next[index + 1] = matched[index] && (part == "*" || part == *word);
            }
        }
        matched = next;
    }
    matched[words.len()]
}

/// Whether the message has all, or with `x-match = any` one, of the binding's arguments as headers.
pub(super) fn matches_headers(arguments: &[Field], headers: &HashMap<&[u8], &[u8]>) -> bool {
    let is_any = arguments
        .iter()
        .any(|(name, value)| name == b"x-match" && value.ends_with(b"any"));
    let mut wanted = arguments
        .iter()
        .filter(|(name, _)| !name.starts_with(b"x-"));
    let has = |(name, value): &Field| {
        let void = value.first().is_none_or(|kind| *kind == b'V');
        let found = headers.get(&**name);
        found.is_some_and(|found| void || *found == &**value)
    };
    match is_any {
        true => wanted.any(has),
        false => wanted.all(has),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_pattern_matches_by_words() {
        for (pattern, key, matches) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.#", "a", true),
            ("a.#", "a.b.c", true),
            ("#", "", true),
            ("#", "a.b", true),
            ("#.c", "a.b.c", true),
            ("#.c", "a.b", false),
            ("*.#.*", "a", false),
            ("*.#.*", "a.b", true),
            ("", "", true),
            ("", "a", false),
            ("a..b", "a..b", true),
        ] {
            assert_eq!(matches_topic(pattern, key), matches, "{pattern} {key}");
        }
        // Many `#` take no exponential time.
        let pattern = format!("{}b", "#.".repeat(120));
        assert!(!matches_topic(&pattern, &"a.".repeat(120)));
    }

    #[test]
    fn headers_match_all_or_any() {
        let field = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let both = [field("a", "S1"), field("b", "S2")];
        let matches_headers = |arguments: &[Field], headers: &[Field]| {
            let headers = headers.iter();
            let headers = headers.map(|(name, value)| (&**name, &**value)).collect();
            super::matches_headers(arguments, &headers)
        };
        assert!(matches_headers(&both, &both));
        assert!(!matches_headers(&both, &both[..1]));
        let any = [field("x-match", "Sany"), field("a", "S1"), field("b", "S2")];
        assert!(matches_headers(&any, &both[1..]));
        assert!(!matches_headers(&any, &[field("a", "S9")]));
        assert!(matches_headers(&[field("a", "V")], &[field("a", "S9")]));
    }
}
