//! Asks the running process on its local socket, and prints what became of the tasks.

use super::report::Report;
use crate::{
    admin::release::{ReleaseRequest, Releases, Target},
    cli::local_socket::{RunningBridge, unknown},
    config::Config,
    intake::release::Remedy,
    store::StoreConfig,
};
use anyhow::{Context, anyhow, bail};
use axum::body::Body;
use hyper::{Request, StatusCode, header::CONTENT_TYPE};
use std::{
    io::{self, ErrorKind, Write},
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
    let bridge = RunningBridge::of(&config.admin)?;
    let request = ReleaseRequest {
        store: config.store.place(),
        target: target.clone(),
        remedy,
    };
    let asking = timeout(ANSWER_TIMEOUT, ask(&bridge, &request));
    let secs = ANSWER_TIMEOUT.as_secs();
    let answer = asking.await.unwrap_or_else(|_| {
        Err(anyhow!(
            "no answer within {secs} s; the bridge may have done it"
        ))
    });
    let releases = answer.map_err(|error| bridge.failed(error))?;
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

async fn ask(bridge: &RunningBridge, request: &ReleaseRequest) -> anyhow::Result<Releases> {
    let body = serde_json::to_vec(request)?;
    let request = Request::post("/release").header(CONTENT_TYPE, "application/json");
    let (status, body) = bridge.ask(request.body(Body::from(body))?).await?;
    if status.is_success() {
        return serde_json::from_slice(&body).context("answered something else than results");
    }
    match status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Err(unknown(status)),
        _ => bail!("{}", String::from_utf8_lossy(&body).trim()),
    }
}
