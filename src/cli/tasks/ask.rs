//! Asks the running process for its tasks in flight, on its admin endpoint.

use crate::admin::Listing;
use anyhow::{Context, anyhow, bail};
use axum::body::{Body, to_bytes};
use hyper_util::{
    client::legacy::{self, Client},
    rt::TokioExecutor,
};
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::time::timeout;

/// Timeout for the whole answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum length of the answer, in bytes. It is more than the list of a million tasks needs.
const MAX_ANSWER_LENGTH: usize = 400_000_000;

/// The tasks in flight of the process that listens on this address.
///
/// # Errors
///
/// If no process listens, or if its answer is not such a list.
pub(crate) async fn running(listen: SocketAddr) -> anyhow::Result<Listing> {
    let url = format!("http://{}/tasks", reachable(listen));
    let answer = timeout(ASK_TIMEOUT, get(&url)).await;
    let secs = ASK_TIMEOUT.as_secs();
    let answer = answer.unwrap_or_else(|_| Err(anyhow!("no answer within {secs} s")));
    answer.map_err(|error| {
        let nobody = match is_nobody(&error) {
            true => "no bridge listens at ",
            false => "",
        };
        error.context(format!("{nobody}{url} (admin.listen)"))
    })
}

/// Whether this error of [`running`] says that no process listens.
pub(crate) fn is_nobody(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<legacy::Error>()
        .is_some_and(legacy::Error::is_connect)
}

async fn get(url: &str) -> anyhow::Result<Listing> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let answer = client.get(url.parse()?).await?;
    let status = answer.status();
    if !status.is_success() {
        bail!("answered {status}; something else listens there, or another version of the bridge");
    }
    let body = to_bytes(Body::new(answer.into_body()), MAX_ANSWER_LENGTH).await?;
    serde_json::from_slice(&body).context("answered something else than a list of tasks")
}

/// The address to reach a server on this machine that listens on `listen`.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen {
        SocketAddr::V4(_) if listen.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) if listen.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("0.0.0.0:9464", "127.0.0.1:9464")]
    #[case("[::]:9464", "[::1]:9464")]
    #[case("10.0.0.7:80", "10.0.0.7:80")]
    #[case("[fe80::1]:80", "[fe80::1]:80")]
    fn a_server_on_all_addresses_is_asked_on_loopback(
        #[case] listen: SocketAddr,
        #[case] to: &str,
    ) {
        assert_eq!(reachable(listen).to_string(), to);
    }
}
