//! The local socket, on which commands ask the running process.

use super::tasks::ask::{is_nobody, on_socket};
use crate::admin::{AdminConfig, SocketName};
use anyhow::{Context, anyhow, bail};
use axum::body::Body;
use bytes::Bytes;
use hyper::{Request, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use std::{
    io::{self, ErrorKind},
    time::Duration,
};
use tokio::time::timeout;

/// The process that listens on the local socket.
pub(super) struct RunningBridge(SocketName);

impl RunningBridge {
    /// The process that has these settings.
    ///
    /// # Errors
    ///
    /// If they name no local socket.
    pub(super) fn of(settings: &AdminConfig) -> anyhow::Result<Self> {
        let unnamed = "there is no local socket, on which the bridge is asked: set admin.socket, for instance to \
                       \"/run/activity-bridge/admin.sock\", or, on Linux, a port in admin.listen, and start the bridge again";
        settings.local_socket().map(Self).context(unnamed)
    }

    /// Its answer to this request. The error says what to do about it. [`Self::failed`] adds where that is.
    pub(super) async fn ask(&self, request: Request<Body>) -> anyhow::Result<(StatusCode, Bytes)> {
        let answer = on_socket(&self.0.to_path(), request).await;
        answer.map_err(explain)
    }

    /// Its answer to this request, of which the body is JSON, within this time. Its refusal is the error.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> anyhow::Result<Bytes> {
        let request = Request::post(path).header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(serde_json::to_vec(body)?))?;
        let asked = timeout(limit, self.ask(request)).await;
        let (status, answer) = asked.map_err(|_| {
            let secs = limit.as_secs();
            anyhow!("no answer within {secs} s; the bridge may have done it")
        })??;
        match status {
            status if status.is_success() => Ok(answer),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Err(unknown(status)),
            _ => bail!("{}", String::from_utf8_lossy(&answer).trim()),
        }
    }

    /// The error with the place.
    pub(super) fn failed(&self, error: anyhow::Error) -> anyhow::Error {
        let key = match self.0 {
            SocketName::Path(_) => "admin.socket",
            SocketName::Abstract(_) => "admin.socket is not set",
        };
        error.context(format!("{} ({key})", self.0))
    }
}

/// An answer that this version of the bridge does not give.
pub(super) fn unknown(status: StatusCode) -> anyhow::Error {
    anyhow!(
        "answered {status}; something else listens there, or a version of the bridge that does not know this command"
    )
}

/// The error with what to do about it.
fn explain(error: anyhow::Error) -> anyhow::Error {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let advice = match kind {
        _ if is_nobody(&error) => {
            "no bridge listens there: start the bridge, or give the configuration and the environment that it was started with"
        }
        Some(ErrorKind::PermissionDenied) => {
            "run the command as the bridge's user, or as root, and in the bridge's container if it has one"
        }
        Some(_) => return error,
        None => "the bridge ended meanwhile, or did not answer",
    };
    error.context(advice)
}
