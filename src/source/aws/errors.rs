//! What an error of the AWS SDK means.

use crate::source::{SourceError, cut};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_swf::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use std::error::Error;

/// How much of AWS's words is passed on, in characters.
const MAX_WORDS: usize = 300;

/// What a fault of a service's own means.
#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    /// The token is dead.
    Gone,
    /// A person must mend it, in this way where that is known.
    Refused(Option<&'static str>),
    /// Too much of something other than calls in a second.
    TooMany,
    /// The request will never be right, for this reason. AWS's own words may quote it.
    Invalid(&'static str),
}

/// The faults of a service's own, by code. Those that all services share are known to [`to_source_error`].
pub type Meanings = [(&'static str, Meaning)];

/// What turns the errors of a call into what they mean, for `map_err`.
pub fn to_source_error<E>(
    meanings: &'static Meanings,
) -> impl FnOnce(SdkError<E, HttpResponse>) -> SourceError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    move |error| sort_error(error, meanings)
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
    let words = match fault.message() {
        Some(message) => format!("{code}: {}", without_values(message)),
        None => code.to_owned(),
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
        // AWS's words may quote the request.
        "SerializationException" | "RequestEntityTooLarge" | "RequestEntityTooLargeException" => {
            SourceError::Invalid(code.to_owned())
        }
        _ => SourceError::Unavailable(words),
    }
}

/// What is not an answer of the service, or one without a code: the network's word, or a proxy's.
fn sort_unnamed<E>(error: &SdkError<E, HttpResponse>, status: Option<u16>) -> SourceError
where
    E: Error + Send + Sync + 'static,
{
    let words = words_of(error);
    if chain(error).any(|cause| cause.is::<CredentialsError>()) {
        return SourceError::Refused(format!("no AWS credentials: {words}"));
    }
    match (error, status) {
        // The request could not even be built: the region or the endpoint is malformed.
        (SdkError::ConstructionFailure(_), _) => SourceError::Refused(words),
        (_, Some(status @ (401 | 403 | 407))) => SourceError::Refused(format!(
            "HTTP {status} without an error code of AWS; is there a proxy in between?"
        )),
        (_, Some(413)) => SourceError::Invalid("HTTP 413: the request is too large".to_owned()),
        (_, Some(status)) => SourceError::Unavailable(format!("HTTP {status}: {words}")),
        (_, None) => SourceError::Unavailable(words),
    }
}

/// AWS's words, without the values that a validation error quotes ("Value 'secret' at 'result' failed to …"), and not
/// more than a line of them.
fn without_values(message: &str) -> String {
    let message = match message.rsplit_once("' at '") {
        Some((_, rest)) => format!("'{rest}"),
        None => message.to_owned(),
    };
    cut(message, MAX_WORDS)
}

/// An error and all its causes.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The whole chain of causes on one line: "dispatch failure: io error: connection refused".
pub(super) fn words_of(error: &(dyn Error + 'static)) -> String {
    let mut words = String::new();
    for cause in chain(error) {
        let cause = cause.to_string().replace('\n', "; ");
        // Some errors repeat their cause in their own words.
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

    #[test]
    fn a_validation_error_is_told_without_the_value_that_it_quotes() {
        let message = "1 validation error detected: Value 'my secret' at 'result' failed to satisfy constraint: \
                       Member must have length less than or equal to 32768";
        let told = without_values(message);
        assert!(told.starts_with("'result' failed to satisfy"), "{told}");
        assert!(without_values(&"x".repeat(1_000)).chars().count() <= MAX_WORDS);
    }
}
