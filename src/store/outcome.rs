//! The format of an outcome that AWS has not taken: JSON, as in `codec`.

use crate::task::{Outcome, OwnFailure};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum StoredOutcome<'a> {
    Completed {
        result: Cow<'a, str>,
    },
    Failed {
        /// The name of the failure, if it is one of the bridge's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        own: Option<Cow<'a, str>>,
        reason: Cow<'a, str>,
        details: Cow<'a, str>,
    },
    Canceled {
        details: Cow<'a, str>,
    },
}

/// The text of an outcome.
pub(in crate::store) fn text(outcome: &Outcome) -> Result<String, serde_json::Error> {
    serde_json::to_string(&match outcome {
        Outcome::Completed { result } => StoredOutcome::Completed {
            result: result.into(),
        },
        Outcome::Failed {
            own,
            reason,
            details,
        } => StoredOutcome::Failed {
            own: own.map(|own| own.name().into()),
            reason: reason.into(),
            details: details.into(),
        },
        Outcome::Canceled { details } => StoredOutcome::Canceled {
            details: details.into(),
        },
    })
}

/// The outcome from its text; `None` if another version wrote it in a form that this one does not know.
pub(in crate::store) fn read(text: &[u8]) -> Option<Outcome> {
    Some(match serde_json::from_slice(text).ok()? {
        StoredOutcome::Completed { result } => Outcome::Completed {
            result: result.into_owned(),
        },
        StoredOutcome::Failed {
            own,
            reason,
            details,
        } => Outcome::Failed {
            own: match own {
                Some(name) => Some(OwnFailure::from_name(&name)?),
                None => None,
            },
            reason: reason.into_owned(),
            details: details.into_owned(),
        },
        StoredOutcome::Canceled { details } => Outcome::Canceled {
            details: details.into_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outcomes as version 1 of the schema wrote them. They must be readable for as long as the version is 1.
    #[test]
    fn outcomes_are_written_and_read_as_version_1() {
        let texts = |reason: &str, details: &str| (reason.to_owned(), details.to_owned());
        let (reason, details) = texts("broken", "€ \"\\\u{1}");
        let result = "{\"n\": 1}".to_owned();
        for (outcome, stored) in [
            (
                Outcome::Completed { result },
                r#"{"completed":{"result":"{\"n\": 1}"}}"#,
            ),
            (
                Outcome::Failed {
                    own: None,
                    reason,
                    details: details.clone(),
                },
                r#"{"failed":{"reason":"broken","details":"€ \"\\\u0001"}}"#,
            ),
            (
                Outcome::failed(OwnFailure::DeadLetter, "r"),
                r#"{"failed":{"own":"ActivityBridge.DeadLetter","reason":"r","details":""}}"#,
            ),
            (
                Outcome::Canceled { details },
                r#"{"canceled":{"details":"€ \"\\\u0001"}}"#,
            ),
        ] {
            assert_eq!(text(&outcome).expect("text"), stored);
            assert_eq!(read(stored.as_bytes()), Some(outcome));
        }
    }

    #[test]
    fn an_outcome_of_another_form_is_not_guessed() {
        for text in [
            "",
            "{}",
            r#"{"later":{}}"#,
            r#"{"failed":{"own":"ActivityBridge.Later","reason":"","details":""}}"#,
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }
}
