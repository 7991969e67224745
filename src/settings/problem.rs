//! What is wrong with a configuration.

use std::{cell::RefCell, fmt};

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `routes[0].swf.domain`.
    pub path: String,
    /// What stands there, or `None` where nothing does or where it is a secret.
    pub value: Option<String>,
    /// What ought to stand there, and how to get there.
    pub rule: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {value}: {}", self.path, self.rule),
            None => write!(f, "{}: {}", self.path, self.rule),
        }
    }
}

/// All that was found wrong so far.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Adds one.
    pub fn add(&self, path: impl Into<String>, value: Option<String>, rule: impl Into<String>) {
        self.0.borrow_mut().push(Problem {
            path: path.into(),
            value,
            rule: rule.into(),
        });
    }

    /// All of them, in the order in which they were found.
    pub fn into_inner(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}
