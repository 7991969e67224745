//! What every AWS client of the bridge shares: credentials, region, one HTTP stack, and two sets of time-outs.

use super::errors::words_of;
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
