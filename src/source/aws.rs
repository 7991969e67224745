//! What every AWS client of the bridge shares: credentials, region, one HTTP stack, and two sets of time-outs.

use aws_config::{
    BehaviorVersion, Region, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_swf::{
    config::http::HttpResponse,
    config::{ProvideCredentials, SharedHttpClient},
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use std::{error::Error, time::Duration};

use super::{SourceError, cut};

/// AWS holds an empty poll for 60 s; its documentation asks for a read timeout of at least 70 s.
const POLL_ATTEMPT: Duration = Duration::from_secs(75);
/// A respond call is answered in milliseconds, or something is wrong.
const RESPOND_ATTEMPT: Duration = Duration::from_secs(8);
const CONNECT: Duration = Duration::from_secs(5);
/// How much of AWS's words is passed on, in characters.
const MAX_WORDS: usize = 300;

/// Loads the usual AWS chain: environment, profile, web identity, container and instance credentials.
pub async fn load(region: Option<&str>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    loader.load().await
}

/// One HTTP stack for credentials, polls and responds: HTTP/1.1 and 2 over rustls with ring.
fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// The configuration of a client for polls.
#[must_use]
pub fn for_polls(config: &SdkConfig) -> SdkConfig {
    // A service that sends the head of an answer early, and holds the rest, is not stalled.
    let patient = StalledStreamProtectionConfig::disabled();
    let config = with_patience(config, POLL_ATTEMPT).into_builder();
    config.stalled_stream_protection(patient).build()
}

/// The configuration of a client for heartbeats, results and questions.
#[must_use]
pub fn for_responses(config: &SdkConfig) -> SdkConfig {
    with_patience(config, RESPOND_ATTEMPT)
}

fn with_patience(config: &SdkConfig, attempt: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(attempt)
        .operation_attempt_timeout(attempt)
        .build();
    let config = config.to_builder().timeout_config(timeouts);
    // The bridge's loops see each fault and decide; so no call waits for another's retries.
    config.retry_config(RetryConfig::disabled()).build()
}

/// Whether the chain finds credentials, and if not, what it says.
///
/// # Errors
///
/// The chain's own words.
pub async fn check_credentials(config: &SdkConfig) -> Result<(), String> {
    let provider = config
        .credentials_provider()
        .ok_or("no credentials provider is configured")?;
    match tokio::time::timeout(Duration::from_secs(15), provider.provide_credentials()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(words_of(&error)),
        Err(_) => Err("no answer within 15 s from the credentials chain".to_owned()),
    }
}

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

/// The faults of a service's own, by code. Those that all services share are known to [`sort_error`].
pub type Meanings = [(&'static str, Meaning)];

/// Sorts an SDK error.
pub fn sort_error<E>(error: SdkError<E, HttpResponse>, meanings: &Meanings) -> SourceError
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
fn words_of(error: &(dyn Error + 'static)) -> String {
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
