//! The credentials of the usual AWS chain. They are read anew when AWS refuses them.
//!
//! The SDK reads the files of profiles once, and keeps what it has got until the time at which it expires, or for 15 minutes. Whoever
//! rotates credentials ends the old ones earlier.

use super::errors::{Meanings, doubts_credentials, to_source_error};
use crate::source::SourceError;
use aws_config::{BehaviorVersion, Region, SdkConfig, identity::IdentityCache};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_sdk_swf::{
    config::{ConfigBag, SharedHttpClient, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_runtime_api::client::{
    identity::{
        IdentityFuture, ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver,
    },
    runtime_components::RuntimeComponents,
};
use parking_lot::Mutex;
use std::{error::Error, sync::Arc, time::Duration};
use tokio::time::Instant;
use tracing::{debug, info};

/// Minimum interval between two readings. AWS refuses many calls at the same time.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// The credentials of a process. Clones share their state.
#[derive(Clone, Debug)]
pub struct AwsCredentials(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// How the chain is built; `None` if there is no chain.
    source: Option<Chain>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Chain {
    region: Option<Region>,
    http: SharedHttpClient,
}

#[derive(Debug)]
struct State {
    /// The SDK's cache of what the chain has provided.
    cache: SharedIdentityCache,
    /// The chain; `None` until it is asked.
    chain: Option<SharedCredentialsProvider>,
    /// Whether AWS has refused the credentials since they were read.
    doubted: bool,
    read_anew: Option<Instant>,
    /// How often the chain was given up. One that was being built meanwhile is not kept, since it may have read the old credentials.
    given_up: u64,
    /// The id of the last access key.
    key: Option<String>,
}

/// Loads the AWS configuration. Without `credentials` they are those of the usual chain.
pub(super) async fn load(
    region: Option<Region>,
    http: SharedHttpClient,
    credentials: Option<AwsCredentials>,
) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    if let Some(region) = region {
        loader = loader.region(region);
    }
    if let Some(credentials) = credentials {
        loader = loader.credentials_provider(credentials);
    }
    loader.load().await
}

impl AwsCredentials {
    /// The credentials of the usual chain. Nothing is read before the first call.
    pub(super) fn of_chain(region: Option<Region>, http: SharedHttpClient) -> Self {
        Self::new(Some(Chain { region, http }))
    }

    /// No credentials, for clients that have their own.
    pub(crate) fn none() -> Self {
        Self::new(None)
    }

    fn new(source: Option<Chain>) -> Self {
        let state = State {
            cache: IdentityCache::lazy().build(),
            chain: None,
            doubted: false,
            read_anew: None,
            given_up: 0,
            key: None,
        };
        Self(Arc::new(Inner {
            source,
            state: Mutex::new(state),
        }))
    }

    /// Turns an SDK error into a [`SourceError`], for `map_err`. If AWS does not take the credentials, they are read anew before the
    /// next call.
    pub fn to_source_error<E>(
        &self,
        meanings: &'static Meanings,
    ) -> impl FnOnce(SdkError<E, HttpResponse>) -> SourceError + use<'_, E>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        move |error| {
            if doubts_credentials(&error) {
                self.0.state.lock().doubted = true;
            }
            to_source_error(meanings)(error)
        }
    }

    /// The cache. After a doubt it is a new one, and the chain is built anew.
    fn cache(&self) -> SharedIdentityCache {
        let mut state = self.0.state.lock();
        let is_due = |at: Instant| at.elapsed() >= MIN_INTERVAL;
        if state.doubted && state.read_anew.is_none_or(is_due) {
            debug!("AWS has refused the credentials; they are read anew");
            state.doubted = false;
            state.read_anew = Some(Instant::now());
            state.chain = None;
            state.given_up += 1;
            state.cache = IdentityCache::lazy().build();
        }
        state.cache.clone()
    }

    async fn chain(&self) -> Option<SharedCredentialsProvider> {
        let Chain { region, http } = self.0.source.as_ref()?;
        let (known, given_up) = {
            let state = self.0.state.lock();
            (state.chain.clone(), state.given_up)
        };
        if known.is_some() {
            return known;
        }
        let config = load(region.clone(), http.clone(), None).await;
        let chain = config.credentials_provider();
        let mut state = self.0.state.lock();
        if state.given_up == given_up {
            state.chain.clone_from(&chain);
        }
        chain
    }

    async fn read(&self) -> Result<Credentials, CredentialsError> {
        let Some(chain) = self.chain().await else {
            return Err(CredentialsError::not_loaded("there is no chain"));
        };
        let credentials = chain.provide_credentials().await?;
        let mut state = self.0.state.lock();
        let key = Some(credentials.access_key_id().to_owned());
        if state.read_anew.is_some() && state.key.is_some() && state.key != key {
            info!("the AWS credentials have changed");
        }
        state.key = key;
        Ok(credentials)
    }
}

impl ProvideCredentials for AwsCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.read())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        let chain = self.0.state.lock().chain.clone();
        chain?.fallback_on_interrupt()
    }
}

impl ResolveCachedIdentity for AwsCredentials {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        config: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let cache = self.cache();
        IdentityFuture::new(async move {
            cache
                .resolve_cached_identity(resolver, components, config)
                .await
        })
    }
}
