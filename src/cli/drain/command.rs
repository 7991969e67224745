//! Asks the running process to drain, and waits for the end of that; or takes the drain back.

use crate::{
    admin::drain::DrainState,
    cli::local_socket::{RunningBridge, unknown},
    config::Config,
};
use anyhow::{Context, anyhow, bail};
use axum::body::Body;
use bytes::Bytes;
use hyper::{Method, Request, StatusCode};
use std::{
    io::{self, ErrorKind, Write},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// Timeout for an answer that the bridge gives at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the last answer after the bridge's own grace period.
const MARGIN: Duration = Duration::from_secs(10);

/// Delay before the next attempt where too many callers wait.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Asks for a drain, and waits for its end. True if nothing is in flight any more.
///
/// # Errors
///
/// If the bridge can't be asked, if the drain is taken back, or if standard output can't be written.
pub async fn drain(config: &Config) -> anyhow::Result<bool> {
    let bridge = RunningBridge::of(&config.admin)?;
    let state = drain_and_wait(&bridge, config.shutdown.grace + MARGIN).await;
    let state = state.map_err(|error| bridge.failed(error))?;
    say(&words(&state))?;
    Ok(state.drained)
}

/// Takes a drain back. True if there was one, or if there is nothing to take back.
///
/// # Errors
///
/// If the bridge can't be asked, if it is ending, or if standard output can't be written.
pub async fn resume(config: &Config) -> anyhow::Result<bool> {
    let bridge = RunningBridge::of(&config.admin)?;
    let words = ask_at_once(&bridge, Method::POST, "/resume").await;
    let words = words.map_err(|error| bridge.failed(error))?;
    say(String::from_utf8_lossy(&words).trim())?;
    Ok(true)
}

async fn drain_and_wait(bridge: &RunningBridge, limit: Duration) -> anyhow::Result<DrainState> {
    ask_at_once(bridge, Method::POST, "/drain").await?;
    let waiting = timeout(limit, drained(bridge)).await;
    waiting.unwrap_or_else(|_| {
        Err(anyhow!(
            "no answer in time; the drain goes on: repeat the command, or see /readyz"
        ))
    })
}

/// Waits for the end of the drain.
async fn drained(bridge: &RunningBridge) -> anyhow::Result<DrainState> {
    loop {
        let (status, body) = ask(bridge, Method::GET, "/drained").await?;
        match status {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => {
                let state = serde_json::from_slice(&body);
                return state.context("answered something else than a state");
            }
            StatusCode::TOO_MANY_REQUESTS => sleep(RETRY_DELAY).await,
            StatusCode::NO_CONTENT | StatusCode::CONFLICT => {
                bail!("the drain was taken back, by activity-bridge resume")
            }
            status => return Err(unknown(status)),
        }
    }
}

async fn ask_at_once(bridge: &RunningBridge, method: Method, path: &str) -> anyhow::Result<Bytes> {
    let asking = timeout(ANSWER_TIMEOUT, ask(bridge, method, path)).await;
    let secs = ANSWER_TIMEOUT.as_secs();
    let (status, body) = asking.unwrap_or_else(|_| {
        Err(anyhow!(
            "no answer within {secs} s; a bridge that still opens its token store does not answer"
        ))
    })?;
    match status {
        status if status.is_success() => Ok(body),
        StatusCode::FORBIDDEN | StatusCode::CONFLICT => {
            bail!("{}", String::from_utf8_lossy(&body).trim())
        }
        status => Err(unknown(status)),
    }
}

async fn ask(
    bridge: &RunningBridge,
    method: Method,
    path: &str,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let request = Request::builder().method(method).uri(path);
    bridge.ask(request.body(Body::empty())?).await
}

fn words(state: &DrainState) -> String {
    let DrainState {
        drained,
        open_polls,
        tasks_in_flight,
        ..
    } = state;
    match drained {
        true => "drained: nothing is in flight".to_owned(),
        false => format!(
            "not drained in time: tasks in flight: {tasks_in_flight}, open polls: {open_polls}. The drain goes on: repeat the command, end \
             the bridge, or take the drain back by activity-bridge resume"
        ),
    }
}

fn say(words: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{words}").and_then(|()| out.flush()) {
        // The reader has closed the pipe.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
