//! The rows of the table that `activity-bridge check` prints.

use std::fmt;

/// How one thing fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It works.
    Ok,
    /// It could not be told, or will only be known when the bridge runs.
    Note,
    /// It does not work.
    Fail,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// What was looked at.
    pub what: String,
    /// How it fares.
    pub mark: Mark,
    /// In words.
    pub words: String,
}

impl Row {
    /// A row.
    pub fn new(what: impl Into<String>, mark: Mark, words: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            mark,
            words: words.into(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Ok => "ok  ",
            Mark::Note => "note",
            Mark::Fail => "FAIL",
        };
        write!(f, "{mark}  {:<44}  {}", self.what, self.words)
    }
}
