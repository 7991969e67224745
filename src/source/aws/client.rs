//! The configuration of the AWS clients: credentials, region, one HTTP stack, and two sets of timeouts (one for polls, one
//! for all other calls).

use super::{
    bounded_body::{bounded, with_shared_room},
    errors::words_of,
};
use aws_config::{
    BehaviorVersion, Region, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_sdk_swf::config::{ProvideCredentials, SharedHttpClient};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use std::time::Duration;

/// Timeout for one poll. AWS holds an empty poll for 60 s, and its documentation asks for a read timeout of at least 70 s.
const POLL_TIMEOUT: Duration = Duration::from_secs(75);

/// Timeout for any other call. AWS normally answers it in milliseconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);

/// Timeout for a connection to AWS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Loads the usual AWS chain: credentials from environment, profile, web identity, container or instance.
pub async fn load(region: Option<&str>) -> SdkConfig {
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(bounded(http_client()));
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    loader.load().await
}

/// The HTTP client for credentials and all calls: HTTP/1.1 and 2 over rustls with ring.
fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// The configuration of a client for polls.
#[must_use]
pub fn for_polls(config: &SdkConfig) -> SdkConfig {
    // A service may send the head of the answer early and hold the rest. That is not a stalled stream.
    let no_protection = StalledStreamProtectionConfig::disabled();
    let config = with_timeout(config, POLL_TIMEOUT).into_builder();
    config.stalled_stream_protection(no_protection).build()
}

/// The configuration of a client for all other calls: heartbeats, outcomes, descriptions.
#[must_use]
pub fn for_responses(config: &SdkConfig) -> SdkConfig {
    with_timeout(config, CALL_TIMEOUT)
}

fn with_timeout(config: &SdkConfig, attempt: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(attempt)
        .operation_attempt_timeout(attempt)
        .build();
    let client = config.http_client().map(with_shared_room);
    let mut config = config.to_builder().timeout_config(timeouts);
    config.set_http_client(client);
    // The loops of the bridge handle each fault themselves. A retry inside the SDK would be hidden from the rate limiter.
    config.retry_config(RetryConfig::disabled()).build()
}

/// Checks that the AWS chain finds credentials.
///
/// # Errors
///
/// The message of the chain.
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
