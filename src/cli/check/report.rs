//! The results of one round of checks.

use crate::util::{Mark, Row};
use std::io::{self, Write};

/// The rows so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    /// Whether each row is printed as soon as it is known.
    live: bool,
}

impl Report {
    pub(super) fn new(live: bool) -> Self {
        Self {
            rows: Vec::new(),
            live,
        }
    }

    /// Adds a row. `section` is the section of the documents that helps where the row names none.
    pub(super) fn add(&mut self, section: &'static str, mut row: Row) -> io::Result<()> {
        row.see = match row.mark {
            Mark::Fail => row.see.or(Some(section)),
            Mark::Ok | Mark::Note => None,
        };
        if self.live {
            writeln!(io::stdout(), "{row}")?;
        }
        self.rows.push(row);
        Ok(())
    }

    pub(super) fn add_all(
        &mut self,
        section: &'static str,
        rows: impl IntoIterator<Item = Row>,
    ) -> io::Result<()> {
        rows.into_iter().try_for_each(|row| self.add(section, row))
    }

    /// What does not pass. `strict`: a note does not pass either.
    pub(super) fn left(&self, strict: bool) -> Vec<&str> {
        let is_left = |row: &&Row| match row.mark {
            Mark::Ok => false,
            Mark::Note => strict,
            Mark::Fail => true,
        };
        let left = self.rows.iter().filter(is_left);
        left.map(|row| row.what.as_str()).collect()
    }

    /// Prints the rows that are not printed yet; with `json` all of them.
    pub(super) fn print(&self, json: bool, strict: bool) -> io::Result<()> {
        let mut stdout = io::stdout();
        if json {
            let passed = self.left(strict).is_empty();
            let report = serde_json::json!({ "passed": passed, "rows": self.rows });
            return writeln!(stdout, "{report:#}");
        }
        if !self.live {
            for row in &self.rows {
                writeln!(stdout, "{row}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_names_a_section_and_notes_fail_where_they_must_not_be() {
        let mut report = Report::new(false);
        for (what, mark) in [("a", Mark::Ok), ("b", Mark::Note), ("c", Mark::Fail)] {
            let row = Row::new(what, mark, "");
            report.add("docs/a.md", row).expect("not printed");
        }
        let own = Row::new("d", Mark::Fail, "").see("docs/b.md");
        report.add("docs/a.md", own).expect("not printed");
        let sections: Vec<_> = report.rows.iter().map(|row| row.see).collect();
        let expected = [None, None, Some("docs/a.md"), Some("docs/b.md")];
        assert_eq!(sections, expected);
        assert_eq!(report.left(false), ["c", "d"]);
        assert_eq!(report.left(true), ["b", "c", "d"]);
    }
}
