//! What every AWS client of the bridge shares: credentials, region, one HTTP stack, and two sets of time-outs.

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_swf::{
    config::{ProvideCredentials, SharedHttpClient, retry::RetryPartition},
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use std::{error::Error, time::Duration};

use super::SourceError;

/// AWS holds an empty poll for 60 s; its documentation asks for a read timeout of at least 70 s.
const POLL_ATTEMPT: Duration = Duration::from_secs(75);
/// A respond call is answered in milliseconds, or something is wrong.
const RESPOND_ATTEMPT: Duration = Duration::from_secs(8);
const CONNECT: Duration = Duration::from_secs(5);

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

/// Time-outs and retries for calls that wait for a task.
#[derive(Clone, Debug)]
pub struct CallPolicy {
    /// For each attempt and for connecting.
    pub timeouts: TimeoutConfig,
    /// The SDK's own retries: few, because the bridge's loops see each fault and decide.
    pub retries: RetryConfig,
    /// A token bucket of its own, so that failing polls can't starve results of their retries.
    pub partition: RetryPartition,
}

/// For polls.
#[must_use]
pub fn poll_policy() -> CallPolicy {
    policy("activity-bridge-poll", POLL_ATTEMPT, 1)
}

/// For heartbeats and results.
#[must_use]
pub fn respond_policy() -> CallPolicy {
    policy("activity-bridge-respond", RESPOND_ATTEMPT, 2)
}

fn policy(name: &'static str, attempt: Duration, attempts: u32) -> CallPolicy {
    CallPolicy {
        timeouts: TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .read_timeout(attempt)
            .operation_attempt_timeout(attempt)
            .build(),
        retries: RetryConfig::standard()
            .with_max_attempts(attempts)
            .with_initial_backoff(Duration::from_millis(100)),
        partition: RetryPartition::custom(name).build(),
    }
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

/// Sorts an SDK error. `gone_codes` are the faults that mean, of this call, that the token is dead.
pub fn sort_error<E, R>(error: SdkError<E, R>, gone_codes: &[&str]) -> SourceError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let SdkError::ServiceError(service) = &error else {
        let words = words_of(&error);
        if chain(&error).any(|cause| cause.is::<CredentialsError>()) {
            return SourceError::Refused(format!("no AWS credentials: {words}"));
        }
        return match &error {
            // The request could not even be built: the region or the endpoint is malformed.
            SdkError::ConstructionFailure(_) => SourceError::Refused(words),
            _ => SourceError::Unavailable(words),
        };
    };
    let fault = service.err();
    let code = fault.code().unwrap_or("an unnamed error");
    let words = match fault.message() {
        Some(message) => format!("{code}: {message}"),
        None => code.to_owned(),
    };
    match code {
        code if gone_codes.contains(&code) => SourceError::Gone(words),
        "UnknownResourceFault"
        | "OperationNotPermittedFault"
        | "AccessDenied"
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
        "LimitExceededFault"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "SlowDown" => SourceError::Throttled(words),
        "ValidationException" | "ValidationError" | "SerializationException" => {
            SourceError::Invalid(words)
        }
        _ => SourceError::Unavailable(words),
    }
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
