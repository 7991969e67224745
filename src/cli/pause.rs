//! Asks the running process to pause a route, or to let it poll again.

use super::{local_socket::RunningBridge, standard_output};
use crate::{admin::pause::PauseRequest, config::Config};
use std::time::Duration;

/// Timeout for the answer, which the bridge gives at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses a route, or lets it poll again. True if it is so.
///
/// # Errors
///
/// If the bridge can't be asked, if it refuses, or if standard output can't be written.
pub async fn set_paused(config: &Config, route: &str, pauses: bool) -> anyhow::Result<bool> {
    let bridge = RunningBridge::of(&config.admin)?;
    let request = PauseRequest {
        store: config.store.place(),
        route: route.to_owned(),
        pauses,
    };
    let answer = bridge.post("/pause", &request, ANSWER_TIMEOUT).await;
    let answer = answer.map_err(|error| bridge.failed(error))?;
    standard_output::write(&[&answer[..], b"\n"].concat())?;
    Ok(true)
}
