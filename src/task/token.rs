//! The task token, by which AWS identifies a task. It is a secret.

use std::{fmt, sync::Arc};

/// The opaque token by which AWS identifies a task: at most 1,024 characters on SWF, 2,048 on Step Functions.
///
/// Anyone who has the token can end the task, so `Debug` never shows it.
#[derive(Clone)]
pub struct TaskToken(Arc<str>);

impl TaskToken {
    /// Wraps a token; `None` if it is empty, which means that the poll found no task.
    #[must_use]
    pub fn new(token: &str) -> Option<Self> {
        (!token.is_empty()).then(|| Self(token.into()))
    }

    /// The token itself. To be used only for calls to AWS and for the record in the store.
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
