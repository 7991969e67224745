//! Turns errors of the AWS SDK into [`SourceError`]s.

use crate::source::{SourceError, one_line};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_swf::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use std::error::Error;

/// Maximum length of AWS's message in an error, in characters.
const MAX_WORDS: usize = 300;

/// Maximum length of AWS's code of a fault in an error, in characters. No code of AWS is as long.
const MAX_CODE: usize = 64;

/// The meaning of a fault that only one service has.
#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    /// The token is dead.
    Gone,
    /// A person must fix it. The text says how, if that is known.
    Refused(Option<&'static str>),
    /// AWS limits something other than the rate of calls.
    TooMany,
    /// The request will never be valid, for this reason. AWS's own message is not used, because it may quote the request.
    Invalid(&'static str),
}

/// The faults of one service by their codes. [`to_source_error`] knows the faults that all services share.
pub type Meanings = [(&'static str, Meaning)];

/// Turns an SDK error into a [`SourceError`], for `map_err`.
pub(super) fn to_source_error<E>(
    meanings: &'static Meanings,
) -> impl FnOnce(SdkError<E, HttpResponse>) -> SourceError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    move |error| sort_error(error, meanings)
}

/// Whether the error says that AWS does not take these credentials, or that there are none. Others may be there by now.
pub(super) fn doubts_credentials<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(service) => matches!(
            service.err().code(),
            Some(
                "ExpiredToken"
                    | "ExpiredTokenException"
                    | "RequestExpired"
                    | "UnrecognizedClientException"
                    | "InvalidClientTokenId"
                    // Half of a file may have been read while it was written.
                    | "InvalidSignatureException"
                    | "SignatureDoesNotMatch"
            )
        ),
        other => chain(other).any(|cause| cause.is::<CredentialsError>()),
    }
}

fn sort_error<E>(error: SdkError<E, HttpResponse>, meanings: &Meanings) -> SourceError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    let fault = match &error {
        SdkError::ServiceError(service) => service.err().code().map(|code| (code, service.err())),
        _ => None,
    };
    let Some((code, fault)) = fault else {
        return sort_unnamed(&error, status);
    };
    // Whoever answers in AWS's place writes what they like.
    let shown_code = one_line(code, MAX_CODE);
    let words = match fault.message() {
        Some(message) => format!("{shown_code}: {}", without_values(message)),
        None => shown_code,
    };
    if let Some((_, meaning)) = meanings.iter().find(|(known, _)| *known == code) {
        return match meaning {
            Meaning::Gone => SourceError::Gone(words),
            Meaning::Refused(None) => SourceError::Refused(words),
            Meaning::Refused(Some(mend)) => SourceError::Refused(format!("{words}; {mend}")),
            Meaning::TooMany => SourceError::TooMany(words),
            Meaning::Invalid(why) => SourceError::Invalid(format!("{code}: {why}")),
        };
    }
    match code {
        "AccessDenied"
        | "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "NotAuthorized"
        | "OptInRequired" => SourceError::Refused(words),
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "SlowDown" => SourceError::Throttled(words),
        "ValidationException" | "ValidationError" => SourceError::Invalid(words),
        // AWS's message may quote the request.
        "SerializationException" | "RequestEntityTooLarge" | "RequestEntityTooLargeException" => {
            SourceError::Invalid(code.to_owned())
        }
        _ => SourceError::Unavailable(words),
    }
}

/// Turns an error without a fault code into a [`SourceError`]: it comes from the network or from a proxy.
fn sort_unnamed<E>(error: &SdkError<E, HttpResponse>, status: Option<u16>) -> SourceError
where
    E: Error + Send + Sync + 'static,
{
    let words = words_of(error);
    if chain(error).any(|cause| cause.is::<CredentialsError>()) {
        return SourceError::Refused(format!("no AWS credentials: {words}"));
    }
    match (error, status) {
        // The SDK could not build the request: the region or the endpoint is malformed.
        (SdkError::ConstructionFailure(_), _) => SourceError::Refused(words),
        (_, Some(status @ (401 | 403 | 407))) => SourceError::Refused(format!(
            "HTTP {status} without an error code of AWS; is there a proxy in between?"
        )),
        (_, Some(413)) => SourceError::Invalid("HTTP 413: the request is too large".to_owned()),
        (_, Some(status)) => SourceError::Unavailable(format!("HTTP {status}: {words}")),
        (_, None) => SourceError::Unavailable(words),
    }
}

/// AWS's message without the values that a validation error quotes ("Value 'secret' at 'result' failed to …"), cut to
/// one line.
fn without_values(message: &str) -> String {
    match message.rsplit_once("' at '") {
        Some((_, rest)) => format!("'{}", one_line(rest, MAX_WORDS - 1)),
        None => one_line(message, MAX_WORDS),
    }
}

/// An error followed by all its causes.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The error and its causes on one line: "dispatch failure: io error: connection refused".
pub(super) fn words_of(error: &(dyn Error + 'static)) -> String {
    let mut words = String::new();
    for cause in chain(error) {
        let cause = one_line(&cause.to_string().replace('\n', "; "), MAX_WORDS);
        // Some errors already contain the text of their cause.
        if !words.contains(&cause) {
            words.push_str(if words.is_empty() { "" } else { ": " });
            words.push_str(&cause);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_swf::{
        error::ErrorMetadata, operation::poll_for_activity_task::PollForActivityTaskError,
    };
    use aws_smithy_types::body::SdkBody;

    #[test]
    fn a_validation_error_does_not_show_the_value_that_it_quotes() {
        let message = "1 validation error detected: Value 'my secret' at 'result' failed to satisfy constraint: \
                       Member must have length less than or equal to 32768";
        let told = without_values(message);
        assert!(told.starts_with("'result' failed to satisfy"), "{told}");
        let long = without_values(&"x".repeat(1_000));
        assert!(long.chars().count() <= MAX_WORDS + 40, "{long}");
    }

    /// An error that an answer of the service makes.
    fn answered(code: &str, message: &str) -> SourceError {
        let meta = ErrorMetadata::builder().code(code).message(message).build();
        let error = PollForActivityTaskError::generic(meta);
        let status = 400.try_into().expect("a status");
        let answer = HttpResponse::new(status, SdkBody::empty());
        to_source_error(&[])(SdkError::service_error(error, answer))
    }

    #[test]
    fn codes_and_messages_of_aws_are_cut_and_on_one_line() {
        let forged = "Odd\n2030-01-01T00:00:00Z WARN forged";
        for (code, message) in [
            (forged, "m"),
            ("Odd", forged),
            (&*"x".repeat(200_000), "m"),
            ("Odd", &*"x".repeat(200_000)),
            ("ValidationException", &*"\u{1b}[2J' at 'x".repeat(50_000)),
            ("ThrottlingException", forged),
            ("AccessDenied", forged),
        ] {
            let shown = answered(code, message).to_string();
            assert!(!shown.chars().any(char::is_control), "{shown}");
            assert!(shown.chars().count() < 500, "{}", shown.len());
        }
    }

    #[test]
    fn the_words_of_a_long_chain_of_errors_are_on_one_line() {
        let error = std::io::Error::other(format!("a\nb\r\u{1b}[2J{}", "x".repeat(10_000)));
        let words = words_of(&error);
        assert!(words.starts_with("a; b\\r\\u{1b}[2J"), "{words}");
        assert!(words.chars().count() < 500, "{}", words.len());
    }
}
