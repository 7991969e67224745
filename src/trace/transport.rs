//! How spans travel: over the one HTTP stack that the AWS clients use too.
//!
//! The SDK exports from a thread of its own, which knows nothing of tokio; the request is made on the bridge's runtime.

use async_trait::async_trait;
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use parking_lot::Mutex;
use std::{fmt, time::Duration};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};
use tracing::warn;

/// For one attempt, connecting included.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Failures are told no more often than this.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Transport {
    connector: Connector,
    runtime: Handle,
    warned: Mutex<Option<Instant>>,
}

impl Transport {
    /// On the current runtime.
    pub(crate) fn new() -> Self {
        let connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build();
        Self {
            connector,
            runtime: Handle::current(),
            warned: Mutex::default(),
        }
    }

    async fn attempt(&self, request: Request<Bytes>) -> Result<u16, HttpError> {
        let request = HttpRequest::try_from(request.map(Into::into))?;
        let call = {
            let _timers = self.runtime.enter();
            timeout(ATTEMPT, self.connector.call(request))
        };
        let answer = self.runtime.spawn(call).await?;
        Ok(answer??.status().as_u16())
    }

    fn warn(&self, why: &dyn fmt::Display) {
        let mut warned = self.warned.lock();
        if warned.is_none_or(|at| at.elapsed() >= BETWEEN_WARNINGS) {
            *warned = Some(Instant::now());
            warn!(%why, "spans could not be exported; those of this attempt may be lost");
        }
    }
}

#[async_trait]
impl HttpClient for Transport {
    /// Gives back the status alone: nothing that a collector adds to it is of use here.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let status = self
            .attempt(request)
            .await
            .inspect_err(|error| self.warn(error))?;
        if !(200..300).contains(&status) {
            self.warn(&format_args!("the collector answered {status}"));
        }
        Ok(Response::builder().status(status).body(Bytes::new())?)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}
