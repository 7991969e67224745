//! The texts of errors of Redis.

use super::url::RedisUrl;
use crate::{store::StoreError, tls::advice};
use redis::RedisError;

/// The error text if Redis does not answer.
pub(crate) const NO_ANSWER: &str = "no answer";

/// The error if Redis does not answer.
pub(crate) fn no_answer() -> StoreError {
    StoreError::Unavailable(NO_ANSWER.to_owned())
}

/// The text of an error, and what to do about it if TLS is the reason.
pub(super) fn explain(error: &RedisError, url: &RedisUrl) -> String {
    let advice = url.is_tls().then(|| advice(error, "store.tls")).flatten();
    match advice {
        Some(advice) => format!("{}: {advice}", describe(error)),
        None => describe(error),
    }
}

/// The text of an error, without the client library's name for its kind.
fn describe(error: &RedisError) -> String {
    if error.is_timeout() {
        return NO_ANSWER.to_owned();
    }
    let text = error.to_string();
    text.replace(&format!(" - {:?}", error.kind()), "")
}

/// The text of an error about the content of a key.
pub(super) fn describe_content(error: &RedisError) -> String {
    let text = describe(error);
    if text.contains("WRONGTYPE") {
        return "it is a key of another type (WRONGTYPE)".to_owned();
    }
    let before_script = text.split(" script: ").next();
    before_script.unwrap_or_default().to_owned()
}
