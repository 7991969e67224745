//! `activity-bridge health`: asks the running process on its admin address whether it has started, or whether it is ready.
//!
//! It is for health checks of containers, whose images have no other program that can ask.

use super::tasks::ask::reachable;
use crate::admin::AdminConfig;
use anyhow::Context;
use axum::body::Body;
use hyper::StatusCode;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use std::{
    io::{Write, stdout},
    net::SocketAddr,
    time::Duration,
};
use tokio::time::timeout;

/// Timeout for the answer. It is shorter than the timeout of the health checks in `Dockerfile` and `deploy/ecs/`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// Asks, and prints the answer. True if the process has started; with `ready`, if it is ready.
///
/// # Errors
///
/// If nothing listens, if the answer does not come in time, or if standard output can't be written.
pub async fn health(admin: &AdminConfig, ready: bool) -> anyhow::Result<bool> {
    let (path, words) = match ready {
        true => ("/readyz", "ready"),
        false => ("/started", "started"),
    };
    let status = status(reachable(admin.listen), path).await?;
    let healthy = status == StatusCode::OK;
    let not = if healthy { "" } else { "not " };
    writeln!(stdout(), "{not}{words}: {path} answered {status}")?;
    Ok(healthy)
}

async fn status(listen: SocketAddr, path: &str) -> anyhow::Result<StatusCode> {
    let url = format!("http://{listen}{path}");
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let asked = timeout(ANSWER_TIMEOUT, client.get(url.parse()?)).await;
    let answer = asked.with_context(|| format!("{url} did not answer in time"))?;
    let answer = answer.with_context(|| format!("{url} (admin.listen) did not answer"))?;
    Ok(answer.status())
}

#[cfg(test)]
mod tests;
