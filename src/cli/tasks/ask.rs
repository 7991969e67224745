//! Asks the running process for its tasks in flight, on its admin endpoint: on the local socket, if there is one.

use crate::admin::{AdminConfig, Listing, socket};
use anyhow::{Context, anyhow, bail};
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use hyper::{
    Request, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{HOST, HeaderValue},
};
use hyper_util::{
    client::legacy::{self, Client},
    rt::{TokioExecutor, TokioIo},
};
use serde::de::DeserializeOwned;
use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};
use tokio::time::timeout;

/// Timeout for the whole answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum length of the answer, in bytes. It is more than the list of a million tasks needs.
const MAX_ANSWER_LENGTH: usize = 400_000_000;

/// The tasks in flight of the process that listens on the socket of these settings; without a socket, on their address.
///
/// # Errors
///
/// If no process listens, or if its answer is not such a list.
pub(crate) async fn running(admin: &AdminConfig) -> anyhow::Result<Listing> {
    answer(admin, "/tasks", "a list of tasks").await
}

/// The answer of that process at this path. `what` is what it should be, in words.
///
/// # Errors
///
/// If no process listens, or if it answers something else.
pub(crate) async fn answer<T: DeserializeOwned>(
    admin: &AdminConfig,
    path: &str,
    what: &str,
) -> anyhow::Result<T> {
    let url = format!("http://{}{path}", reachable(admin.listen));
    let answer = async {
        let (status, body) = match &admin.socket {
            Some(socket) => on_socket(socket, Request::get(path).body(Body::empty())?).await?,
            None => get(&url).await?,
        };
        parsed(status, &body, what)
    };
    let answer = timeout(ASK_TIMEOUT, answer).await;
    let secs = ASK_TIMEOUT.as_secs();
    let answer = answer.unwrap_or_else(|_| Err(anyhow!("no answer within {secs} s")));
    answer.map_err(|error| {
        let nobody = match is_nobody(&error) {
            true => "no bridge listens at ",
            false => "",
        };
        let place = match &admin.socket {
            Some(path) => format!("{} (admin.socket)", path.display()),
            None => format!("{url} (admin.listen)"),
        };
        error.context(format!("{nobody}{place}"))
    })
}

/// Whether this error of [`answer`] says that no process listens.
pub(crate) fn is_nobody(error: &anyhow::Error) -> bool {
    let at_address = error.downcast_ref::<legacy::Error>();
    let on_socket = error.downcast_ref::<io::Error>().map(io::Error::kind);
    at_address.is_some_and(legacy::Error::is_connect)
        || matches!(
            on_socket,
            Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused)
        )
}

async fn get(url: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let answer = client.get(url.parse()?).await?;
    let status = answer.status();
    Ok((status, body(answer.into_body()).await?))
}

/// Sends a request to the process that listens on this socket, and returns its answer.
///
/// # Errors
///
/// If no process listens, or if there is no answer.
pub(crate) async fn on_socket(
    path: &Path,
    mut request: Request<Body>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let host = HeaderValue::from_static("localhost");
    request.headers_mut().insert(HOST, host);
    let stream = socket::connect(path).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, body(answer.into_body()).await?))
    };
    // The connection ends when nobody can send on it any more.
    let (answer, _) = tokio::join!(asking, connection);
    answer
}

async fn body(body: Incoming) -> anyhow::Result<Bytes> {
    Ok(to_bytes(Body::new(body), MAX_ANSWER_LENGTH).await?)
}

fn parsed<T: DeserializeOwned>(status: StatusCode, body: &[u8], what: &str) -> anyhow::Result<T> {
    if !status.is_success() {
        bail!("answered {status}; something else listens there, or another version of the bridge");
    }
    serde_json::from_slice(body).with_context(|| format!("answered something else than {what}"))
}

/// The address to reach a server on this machine that listens on `listen`.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
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
