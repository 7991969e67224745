//! Asks the running process on its local socket, and prints what became of the tasks.

use super::report::Report;
use crate::{
    admin::release::{ReleaseRequest, Releases, Target},
    cli::tasks::ask::{is_nobody, on_socket},
    config::Config,
    intake::release::Remedy,
    store::StoreConfig,
};
use anyhow::{Context, anyhow, bail};
use axum::body::Body;
use hyper::{Request, StatusCode, header::CONTENT_TYPE};
use std::{
    io::{self, ErrorKind, Write},
    path::Path,
    time::Duration,
};
use tokio::time::timeout;

/// Timeout for the answer. The bridge answers sooner.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// Releases these tasks. True if there is nothing left to be done about them.
///
/// # Errors
///
/// If the bridge can't be asked, if it refuses, or if standard output can't be written.
pub async fn release(
    config: &Config,
    target: &Target,
    remedy: Remedy,
    json: bool,
) -> anyhow::Result<bool> {
    let Some(socket) = &config.admin.socket else {
        bail!(
            "admin.socket is not set, and tasks are released only through the local socket: set it, for instance to \
             \"/run/activity-bridge/admin.sock\", and start the bridge again"
        );
    };
    let request = ReleaseRequest {
        store: config.store.place(),
        target: target.clone(),
        remedy,
    };
    let asking = timeout(ANSWER_TIMEOUT, ask(socket, &request));
    let secs = ANSWER_TIMEOUT.as_secs();
    let answer = asking.await.unwrap_or_else(|_| {
        Err(anyhow!(
            "no answer within {secs} s; the bridge may have done it"
        ))
    });
    let releases = answer.with_context(|| format!("{} (admin.socket)", socket.display()))?;
    let report = Report {
        releases: &releases,
        target,
        is_shared: matches!(config.store, StoreConfig::Redis(_)),
    };
    let text = match json {
        true => serde_json::to_string(&releases)? + "\n",
        false => report.to_string(),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has closed the pipe, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(report.is_done())
}

async fn ask(socket: &Path, request: &ReleaseRequest) -> anyhow::Result<Releases> {
    let body = serde_json::to_vec(request)?;
    let request = Request::post("/release").header(CONTENT_TYPE, "application/json");
    let answer = on_socket(socket, request.body(Body::from(body))?).await;
    let (status, body) = answer.map_err(explain)?;
    if status.is_success() {
        return serde_json::from_slice(&body).context("answered something else than results");
    }
    match status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => bail!(
            "answered {status}; something else listens there, or a version of the bridge that does not know this command"
        ),
        _ => bail!("{}", String::from_utf8_lossy(&body).trim()),
    }
}

/// The error with what to do about it.
fn explain(error: anyhow::Error) -> anyhow::Error {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let advice = match kind {
        _ if is_nobody(&error) => {
            "no bridge listens there: start the bridge, or give the configuration that it was started with"
        }
        Some(ErrorKind::PermissionDenied) => "run the command as the bridge's user, or as root",
        _ => return error,
    };
    error.context(advice)
}
