//! The HTTP client of the exporter. It uses the same HTTP stack as the AWS clients, and the same
//! proxies.
//!
//! The OpenTelemetry SDK exports from its own thread, outside of tokio. Requests are made on the bridge's runtime.

use async_trait::async_trait;
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
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

/// Timeout for one request, the connection included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Minimum interval between two warnings about failed requests.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Transport {
    connector: Connector,
    runtime: Handle,
    warned: Mutex<Option<Instant>>,
}

impl Transport {
    /// A client that makes its requests on the current runtime.
    pub(crate) fn new() -> Self {
        let connector = Connector::builder()
            .proxy_config(ProxyConfig::from_env())
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
            timeout(REQUEST_TIMEOUT, self.connector.call(request))
        };
        let answer = self.runtime.spawn(call).await?;
        Ok(answer??.status().as_u16())
    }

    fn warn(&self, why: &dyn fmt::Display) {
        let mut warned = self.warned.lock();
        if warned.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
            *warned = Some(Instant::now());
            warn!(%why, "spans could not be exported; those of this attempt may be lost");
        }
    }
}

#[async_trait]
impl HttpClient for Transport {
    /// Returns only the status of the answer. The exporter does not use the rest.
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
