//! The configuration of the AWS clients: credentials, region, one HTTP stack, and two sets of timeouts (one for polls, one
//! for all other calls).

use super::{
    bounded_body::{bounded, with_shared_room},
    ca_bundle::{self, BadCaBundle},
    clock::{Clock, observed},
    credentials::{AwsCredentials, load},
    errors::words_of,
    http,
};
use aws_config::{
    Region, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_swf::config::SharedHttpClient;
use aws_smithy_runtime_api::client::identity::SharedIdentityCache;
use std::time::Duration;
use tokio::time::timeout;

/// Timeout for one poll. AWS holds an empty poll for 60 s, and its documentation asks for a read timeout of at least 70 s.
const POLL_TIMEOUT: Duration = Duration::from_secs(75);

/// Timeout for any other call. AWS normally answers it in milliseconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);

/// Timeout for a connection to AWS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout for the check of the credentials.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(15);

/// The AWS configuration of a process: what its clients share.
#[derive(Clone, Debug)]
pub struct AwsConfig {
    sdk: SdkConfig,
    credentials: AwsCredentials,
}

impl AwsConfig {
    /// Loads the usual AWS chain: credentials from environment, profile, web identity, container or instance. The credentials are
    /// loaded with the first call.
    ///
    /// # Errors
    ///
    /// If `AWS_CA_BUNDLE` names a file that can't be used.
    pub async fn load(region: Option<&str>) -> Result<Self, BadCaBundle> {
        Ok(Self::with_client(region, bounded(http::client(&ca_bundle::tls()?))).await)
    }

    /// The same, and AWS's clock as the answers to its clients and to the chain tell it.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub async fn load_with_clock(region: Option<&str>) -> Result<(Self, Clock), BadCaBundle> {
        let http = bounded(http::client(&ca_bundle::tls()?));
        let clock = Clock::default();
        let http = observed(http, clock.clone());
        Ok((Self::with_client(region, http).await, clock))
    }

    async fn with_client(region: Option<&str>, http: SharedHttpClient) -> Self {
        let region = region.map(|region| Region::new(region.to_owned()));
        let none = Some(AwsCredentials::none());
        let sdk = load(region, http.clone(), none).await;
        let credentials = AwsCredentials::of_chain(sdk.region().cloned(), http);
        let provider = SharedCredentialsProvider::new(credentials.clone());
        let cache = SharedIdentityCache::new(credentials.clone());
        let mut sdk = sdk.into_builder().credentials_provider(provider);
        sdk.set_identity_cache(Some(cache));
        let sdk = sdk.build();
        Self { sdk, credentials }
    }

    /// The configuration for clients of the SDK.
    #[must_use]
    pub fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// The credentials of all clients.
    #[must_use]
    pub fn credentials(&self) -> &AwsCredentials {
        &self.credentials
    }

    /// Checks that the AWS chain finds credentials.
    ///
    /// # Errors
    ///
    /// The message of the chain.
    pub async fn check_credentials(&self) -> Result<(), String> {
        let found = self.credentials.provide_credentials();
        match timeout(CREDENTIALS_TIMEOUT, found).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(words_of(&error)),
            Err(_) => {
                let secs = CREDENTIALS_TIMEOUT.as_secs();
                Err(format!(
                    "no answer within {secs} s from the credentials chain"
                ))
            }
        }
    }
}

impl From<SdkConfig> for AwsConfig {
    /// A configuration whose credentials nobody rotates.
    fn from(sdk: SdkConfig) -> Self {
        let credentials = AwsCredentials::none();
        Self { sdk, credentials }
    }
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
