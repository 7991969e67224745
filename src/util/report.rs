//! The rows of the table that `activity-bridge check` prints.

use serde::Serialize;
use std::fmt;

/// The result of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// It works.
    Ok,
    /// The check could not decide, or the answer is known only when the bridge runs.
    Note,
    /// It does not work.
    Fail,
}

/// A row of the table.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The checked thing.
    pub what: String,
    /// The result.
    pub mark: Mark,
    /// The result in words.
    pub words: String,
    /// The section of the documents that helps.
    pub see: Option<&'static str>,
}

impl Row {
    /// A row.
    pub fn new(what: impl Into<String>, mark: Mark, words: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            mark,
            words: words.into(),
            see: None,
        }
    }

    /// The same row, with the section of the documents that helps if it is a failure.
    #[must_use]
    pub fn see(mut self, section: &'static str) -> Self {
        self.see = Some(section);
        self
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Ok => "ok  ",
            Mark::Note => "note",
            Mark::Fail => "FAIL",
        };
        write!(f, "{mark}  {:<44}  {}", self.what, self.words)?;
        match self.see {
            Some(section) => write!(f, "\n      see {section}"),
            None => Ok(()),
        }
    }
}
