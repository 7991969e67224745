//! Parked messages for people.

use super::terminal::{cut, line, lines};
use crate::{
    cli::tasks::table::span,
    settle::parked::{ParkedContent, ParkedEntry, ParkedListing},
};
use std::fmt;

/// Maximum number of characters of a reason in the table.
const REASON: usize = 60;

/// Maximum number of characters of a body in the table.
const BODY: usize = 32;

/// Maximum number of bytes of a body that is shown.
const SHOWN: usize = 16 << 10;

/// Said when not all was looked at that was to be.
pub(super) const ENDED_EARLY: &str = "the reading ended early, after 20 s or with the connection to the broker: not all was looked at";

/// Writes the aligned table, and how many messages there are.
pub(super) struct Table<'a>(pub(super) &'a ParkedListing);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ParkedListing {
            parked,
            messages,
            ended_early,
        } = self.0;
        let heading = ["ID", "AGE", "ROUTE", "SIZE", "REASON", "BODY"];
        let mut rows = vec![heading.map(str::to_owned)];
        rows.extend(messages.iter().map(row));
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if !messages.is_empty() {
            for row in &rows {
                let cells = row.iter().zip(widths);
                let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
                let cells: Vec<_> = cells.collect();
                writeln!(f, "{}", cells.join("  ").trim_end())?;
            }
            writeln!(f)?;
        }
        if *ended_early {
            writeln!(f, "{ENDED_EARLY}")?;
        }
        match (messages.len(), parked) {
            (_, 0) => writeln!(
                f,
                "nothing is parked, but for what somebody else reads or consumes now"
            ),
            (1, 1) => writeln!(f, "1 parked message"),
            (count, all) if count == *all => writeln!(f, "{count} parked messages"),
            (count, all) => writeln!(f, "{count} of {all} parked messages, the oldest first"),
        }
    }
}

fn row(entry: &ParkedEntry) -> [String; 6] {
    [
        line(&entry.id),
        entry.age_secs.map_or_else(|| "-".to_owned(), span),
        line(entry.route.as_deref().unwrap_or("-")),
        entry.size.to_string(),
        cut(because(entry), REASON),
        cut(&entry.begins, BODY),
    ]
}

fn because(entry: &ParkedEntry) -> &str {
    let of_broker = "(no reason: RabbitMQ, or another client, put it there)";
    entry.because.as_deref().unwrap_or(of_broker)
}

/// Writes a message: what is known of it, its headers, and its body behind an empty line.
pub(super) struct Content<'a>(pub(super) &'a ParkedContent);

impl fmt::Display for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = self.0;
        let entry = &content.entry;
        writeln!(f, "id: {}", line(&entry.id))?;
        writeln!(f, "reason: {}", line(because(entry)))?;
        if let Some(secs) = entry.age_secs {
            writeln!(f, "age: {}", span(secs))?;
        }
        for (name, value) in [
            ("route", &entry.route),
            ("correlation_id", &entry.task),
            ("type", &entry.kind),
            ("content_type", &content.content_type),
            ("reply_to", &content.reply_to),
        ] {
            if let Some(value) = value {
                writeln!(f, "{name}: {}", line(value))?;
            }
        }
        for (name, value) in &content.headers {
            // The quotation marks tell a text from a number.
            writeln!(f, "header {}: {}", line(name), line(&value.to_string()))?;
        }
        writeln!(f, "bytes: {}\n", entry.size)?;
        let shown = shown(&content.body);
        writeln!(f, "{}", lines(shown).trim_end_matches('\n'))?;
        match content.is_whole && shown.len() == content.body.len() {
            true => Ok(()),
            false => writeln!(
                f,
                "\n(not all of it, or not as it is: --raw prints the {} bytes of the body)",
                entry.size
            ),
        }
    }
}

/// The beginning of a body.
fn shown(body: &str) -> &str {
    let mut end = body.len().min(SHOWN);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    &body[..end]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli::parked) fn entry(id: &str) -> ParkedEntry {
        ParkedEntry {
            id: id.repeat(12),
            age_secs: Some(7_537),
            route: Some("payments".to_owned()),
            task: Some("0123".to_owned()),
            kind: Some("finished".to_owned()),
            because: Some("its type \"finished\" is none of completed".to_owned()),
            size: 4,
            begins: "47\u{1b}1".to_owned(),
        }
    }

    #[test]
    fn the_table_is_aligned_and_says_how_many_there_are() {
        let old = ParkedEntry {
            age_secs: None,
            route: None,
            because: None,
            begins: "a".repeat(80),
            ..entry("b")
        };
        let mut listing = ParkedListing {
            parked: 3,
            messages: vec![entry("a"), old],
            ended_early: false,
        };
        let expected = "\
ID            AGE        ROUTE     SIZE  REASON                                                  BODY
aaaaaaaaaaaa  2 h 5 min  payments  4     its type \"finished\" is none of completed                47\\u{1b}1
bbbbbbbbbbbb  -          -         4     (no reason: RabbitMQ, or another client, put it there)  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…

2 of 3 parked messages, the oldest first
";
        assert_eq!(Table(&listing).to_string(), expected);
        listing.parked = 2;
        let text = Table(&listing).to_string();
        assert!(text.ends_with("\n\n2 parked messages\n"), "{text}");
        listing = ParkedListing {
            parked: 0,
            messages: Vec::new(),
            ended_early: false,
        };
        // Somebody may read them all at this moment.
        let nothing = "nothing is parked, but for what somebody else reads or consumes now\n";
        assert_eq!(Table(&listing).to_string(), nothing);
        (listing.parked, listing.ended_early) = (3, true);
        let text = Table(&listing).to_string();
        assert!(text.starts_with("the reading ended early"), "{text}");
        assert!(
            text.ends_with("0 of 3 parked messages, the oldest first\n"),
            "{text}"
        );
    }

    #[test]
    fn a_message_is_shown_with_its_headers_and_what_is_not_shown_is_said() {
        let headers = [
            ("attempt".to_owned(), 2.into()),
            ("shop".to_owned(), "A\u{1b}".into()),
        ];
        let mut content = ParkedContent {
            entry: entry("a"),
            content_type: None,
            reply_to: Some("me".to_owned()),
            headers: headers.into(),
            body: "47\n\u{1b}1\n".to_owned(),
            is_whole: true,
        };
        let expected = "\
id: aaaaaaaaaaaa
reason: its type \"finished\" is none of completed
age: 2 h 5 min
route: payments
correlation_id: 0123
type: finished
reply_to: me
header attempt: 2
header shop: \"A\\u001b\"
bytes: 4

47
\\u{1b}1
";
        assert_eq!(Content(&content).to_string(), expected);
        content.body = "é".repeat(SHOWN);
        let text = Content(&content).to_string();
        assert!(
            text.ends_with("--raw prints the 4 bytes of the body)\n"),
            "{text}"
        );
    }
}
