//! The problems of a configuration.

use std::{cell::RefCell, fmt};

/// One problem of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file that the value is in; `None` if there is only one, or if several files have a part in it.
    pub file: Option<String>,
    /// The key, such as `routes[0].swf.domain`.
    pub path: String,
    /// The value; `None` if there is none or if it is a secret.
    pub value: Option<String>,
    /// The rule that the value breaks, and how to fix it.
    pub rule: String,
}

impl Problem {
    /// A problem with what a key names, such as a file. The value is not shown.
    #[must_use]
    pub fn about(path: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            file: None,
            path: path.into(),
            value: None,
            rule: rule.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        match &self.value {
            Some(value) => write!(f, "{} = {value}: {}", self.path, self.rule),
            None => write!(f, "{}: {}", self.path, self.rule),
        }
    }
}

/// Several problems in one line.
#[must_use]
pub fn in_one_line(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    lines.join("; ")
}

/// All problems that were found so far.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Adds a problem.
    pub fn add(&self, path: impl Into<String>, value: Option<String>, rule: impl Into<String>) {
        self.0.borrow_mut().push(Problem {
            file: None,
            path: path.into(),
            value,
            rule: rule.into(),
        });
    }

    /// All problems, in the order in which they were found.
    pub fn into_inner(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}
