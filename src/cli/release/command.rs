//! Asks the running process on its local socket, and prints what became of the tasks.

use super::report::Report;
use crate::{
    admin::release::{ReleaseRequest, Releases, Target},
    cli::{local_socket::RunningBridge, standard_output},
    config::Config,
    intake::release::Remedy,
    store::StoreConfig,
};
use anyhow::Context;
use std::time::Duration;

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
    let answer = bridge.post("/release", &request, ANSWER_TIMEOUT).await;
    let answer = answer.map_err(|error| bridge.failed(error))?;
    let releases: Releases =
        serde_json::from_slice(&answer).context("answered something else than results")?;
    let report = Report {
        releases: &releases,
        target,
        is_shared: matches!(config.store, StoreConfig::Redis(_)),
    };
    let text = match json {
        true => serde_json::to_string(&releases)? + "\n",
        false => report.to_string(),
    };
    standard_output::write(text.as_bytes())?;
    Ok(report.is_done())
}
