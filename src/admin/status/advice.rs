//! What to do, by what the process says. The texts are those of the documents: a test holds `advice.txt` against them.

use super::shape::Advice;

/// Four columns, between tabs: what says it, its words, what to do, and the section of the documents.
const TABLE: &str = include_str!("advice.txt");

/// What stands for anything in the words.
const ANYTHING: char = '…';

/// What to do about a state or a note; `None` if the documents say nothing.
pub(super) fn on_state(words: &str) -> Option<Advice> {
    best("state", |pattern| fits(pattern, words, true))
}

/// What to do about a line of the log; `None` if the documents say nothing.
pub(super) fn on_line(words: &str) -> Option<Advice> {
    best("log", |pattern| fits(pattern, words, false))
}

/// The row whose words fit and are the longest: the others are more general.
fn best(kind: &str, fits: impl Fn(&str) -> bool) -> Option<Advice> {
    let rows = TABLE.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let row = (
            columns.next()?,
            columns.next()?,
            columns.next()?,
            columns.next()?,
        );
        (row.0 == kind && fits(row.1)).then_some(row)
    });
    let (_, _, text, section) = rows.max_by_key(|row| row.1.len())?;
    Some(Advice {
        text: text.to_owned(),
        section: section.to_owned(),
    })
}

/// Whether the words have the parts of the pattern in this order. `whole`: they begin with the first one.
fn fits(pattern: &str, words: &str, whole: bool) -> bool {
    let mut rest = words;
    for (index, part) in pattern.split(ANYTHING).enumerate() {
        match rest.find(part) {
            Some(at) if at == 0 || index > 0 || !whole => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("50 messages wait in the queue", "Tasks come faster")]
    #[case(
        "the queue \"pay\" does not exist; create it",
        "The route has declare = false"
    )]
    #[case(
        "refused: KmsAccessDeniedException: no",
        "Step Functions: the role may not use"
    )]
    #[case("refused: ExpiredToken: old", "AWS refuses the credentials")]
    #[case("waiting for a consumer on the queue", "Start the workers")]
    #[case("polling", "")]
    #[case("something of another version", "")]
    #[case("not refused: at all", "")]
    fn a_state_has_the_advice_of_the_row_that_fits_best(#[case] state: &str, #[case] text: &str) {
        let advice = on_state(state).unwrap_or_default();
        assert!(advice.text.starts_with(text), "{advice:?}");
        assert_eq!(advice.text.is_empty(), text.is_empty(), "{advice:?}");
    }

    #[test]
    fn a_line_of_the_log_has_the_advice_of_the_words_in_it() {
        let line = "no worker has begun within 5 s; failing it back to AWS";
        let advice = on_line(line).expect("a row");
        assert!(advice.text.contains("max_wait_secs"), "{advice:?}");
        assert_eq!(on_line("polling"), None, "it is no warning");
    }

    #[test]
    fn every_row_has_its_columns() {
        for line in TABLE.lines() {
            let columns: Vec<_> = line.split('\t').collect();
            let [kind, words, _, section] = columns.as_slice() else {
                panic!("{line}");
            };
            assert!(
                ["log", "state"].contains(kind) && !words.is_empty(),
                "{line}"
            );
            assert!(section.contains(".md"), "{line}");
        }
    }
}
