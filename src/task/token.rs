//! AWS's name for a task, which is a secret.

use std::{fmt, sync::Arc};

/// The opaque token by which AWS knows the task: at most 1,024 characters on SWF, 2,048 on Step Functions.
///
/// Whoever holds it can end the task, so `Debug` never shows it.
#[derive(Clone)]
pub struct TaskToken(Arc<str>);

impl TaskToken {
    /// Wraps a token, or `None` where it is empty: a poll found nothing.
    #[must_use]
    pub fn new(token: &str) -> Option<Self> {
        (!token.is_empty()).then(|| Self(token.into()))
    }

    /// The token itself, for a call to AWS and for nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskToken({} characters)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_shows_in_debug() {
        let token = TaskToken::new("very-secret").expect("not empty");
        assert!(!format!("{token:?}").contains("secret"));
        assert!(TaskToken::new("").is_none());
    }
}
