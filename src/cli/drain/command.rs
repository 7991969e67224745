//! Asks the running process to drain, and waits for the end of that; or takes the drain back.

use crate::{
    admin::{SocketName, drain::DrainState},
    cli::tasks::ask::{is_nobody, on_socket},
    config::Config,
};
use anyhow::{Context, anyhow};
use axum::body::Body;
use bytes::Bytes;
use hyper::{Method, Request, StatusCode};
use std::{
    io::{self, ErrorKind, Write},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

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
    let bridge = RunningBridge::of(config)?;
    bridge.ask_at_once(Method::POST, "/drain").await?;
    let end = Instant::now() + config.shutdown.grace + MARGIN;
    let waiting = timeout_at(end, bridge.drained()).await;
    let state = waiting.unwrap_or_else(|_| Err(bridge.failed(anyhow!("no answer in time"))))?;
    say(&words(&state))?;
    Ok(state.drained)
}

/// Takes a drain back. True if there was one, or if there is nothing to take back.
///
/// # Errors
///
/// If the bridge can't be asked, if it is ending, or if standard output can't be written.
pub async fn resume(config: &Config) -> anyhow::Result<bool> {
    let bridge = RunningBridge::of(config)?;
    let (_, words) = bridge.ask_at_once(Method::POST, "/resume").await?;
    say(String::from_utf8_lossy(&words).trim())?;
    Ok(true)
}

/// The process that listens on the local socket.
struct RunningBridge(SocketName);

impl RunningBridge {
    fn of(config: &Config) -> anyhow::Result<Self> {
        let socket = config.admin.local_socket();
        let unnamed = "there is no local socket, on which the bridge is asked: set admin.socket, for instance to \
                       \"/run/activity-bridge/admin.sock\", or a port in admin.listen, and start the bridge again";
        socket.map(Self).context(unnamed)
    }

    /// Waits for the end of the drain.
    async fn drained(&self) -> anyhow::Result<DrainState> {
        loop {
            let (status, body) = self.ask(Method::GET, "/drained").await?;
            let error = match status {
                StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => {
                    let state = serde_json::from_slice(&body);
                    return state.context("answered something else than a state");
                }
                StatusCode::TOO_MANY_REQUESTS => {
                    sleep(RETRY_DELAY).await;
                    continue;
                }
                StatusCode::NO_CONTENT | StatusCode::CONFLICT => {
                    anyhow!("the drain was taken back, by activity-bridge resume")
                }
                status => unknown(status),
            };
            return Err(self.failed(error));
        }
    }

    async fn ask_at_once(&self, method: Method, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let asking = timeout(ANSWER_TIMEOUT, self.ask(method, path)).await;
        let secs = ANSWER_TIMEOUT.as_secs();
        let unanswered = |_| Err(self.failed(anyhow!("no answer within {secs} s")));
        let (status, body) = asking.unwrap_or_else(unanswered)?;
        match status {
            status if status.is_success() => Ok((status, body)),
            StatusCode::FORBIDDEN | StatusCode::CONFLICT => {
                let words = String::from_utf8_lossy(&body).trim().to_owned();
                Err(self.failed(anyhow!(words)))
            }
            status => Err(self.failed(unknown(status))),
        }
    }

    async fn ask(&self, method: Method, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder().method(method).uri(path);
        let answer = on_socket(&self.0.to_path(), request.body(Body::empty())?).await;
        answer.map_err(|error| self.failed(explain(error)))
    }

    fn failed(&self, error: anyhow::Error) -> anyhow::Error {
        let key = match self.0 {
            SocketName::Path(_) => "admin.socket",
            SocketName::Abstract(_) => "admin.socket is not set",
        };
        error.context(format!("{} ({key})", self.0))
    }
}

fn unknown(status: StatusCode) -> anyhow::Error {
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
        Some(ErrorKind::PermissionDenied) => "run the command as the bridge's user, or as root",
        Some(_) => return error,
        None => "the bridge ended meanwhile, or did not answer",
    };
    error.context(advice)
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
