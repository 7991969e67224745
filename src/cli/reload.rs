//! Asks the running process to read its configuration again, and prints what has changed.

use crate::{
    admin::AdminConfig,
    cli::local_socket::{RunningBridge, unknown},
    process::reload::ReloadReport,
};
use anyhow::{Context, anyhow, bail};
use axum::body::Body;
use hyper::{Method, Request, StatusCode};
use std::{
    io::{self, ErrorKind, Write},
    time::Duration,
};
use tokio::time::timeout;

/// Timeout for the answer. Reading the files takes 5 s at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What became of it.
#[derive(Debug)]
pub enum Reload {
    /// The bridge uses its configuration as it is now.
    Done,
    /// The configuration is wrong, and the bridge goes on with the one before. The text lists the problems.
    Invalid(String),
}

/// Asks the bridge with these settings. It reads the files with which it was started.
///
/// # Errors
///
/// If the bridge can't be asked, if it refuses for another reason than its configuration, or if standard output can't be written.
pub async fn reload(settings: &AdminConfig) -> anyhow::Result<Reload> {
    let bridge = RunningBridge::of(settings)?;
    let reloaded = ask(&bridge).await.map_err(|error| bridge.failed(error))?;
    if let Ok(report) = &reloaded {
        say(&words(report))?;
    }
    Ok(reloaded.map_or_else(Reload::Invalid, |_| Reload::Done))
}

/// The report, or the problems of the configuration.
async fn ask(bridge: &RunningBridge) -> anyhow::Result<Result<ReloadReport, String>> {
    let request = Request::builder().method(Method::POST).uri("/reload");
    let asking = bridge.ask(request.body(Body::empty())?);
    let answer = timeout(ANSWER_TIMEOUT, asking).await;
    let secs = ANSWER_TIMEOUT.as_secs();
    let (status, body) = answer.unwrap_or_else(|_| {
        Err(anyhow!(
            "no answer within {secs} s; see the log of the bridge: the reload may go on"
        ))
    })?;
    let text = || String::from_utf8_lossy(&body).trim().to_owned();
    match status {
        StatusCode::OK => {
            let report = serde_json::from_slice(&body);
            Ok(Ok(report.context("answered something else than a report")?))
        }
        StatusCode::UNPROCESSABLE_ENTITY => Ok(Err(text())),
        StatusCode::FORBIDDEN | StatusCode::CONFLICT => bail!("{}", text()),
        status => Err(unknown(status)),
    }
}

fn words(report: &ReloadReport) -> String {
    let ReloadReport {
        added,
        changed,
        removed,
        keys,
        needs_restart,
    } = report;
    let mut lines = Vec::new();
    for (what, names) in [
        ("routes added", added),
        ("routes changed", changed),
        ("routes removed", removed),
        ("other keys changed", keys),
    ] {
        if !names.is_empty() {
            lines.push(format!("{what}: {}", names.join(", ")));
        }
    }
    if lines.is_empty() {
        lines.push("nothing has changed".to_owned());
    }
    if !needs_restart.is_empty() {
        lines.push(format!("needs a restart: {}", needs_restart.join(", ")));
    }
    lines.join("\n")
}

fn say(words: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{words}").and_then(|()| out.flush()) {
        // The reader has closed the pipe.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_has_changed_and_what_needs_a_restart() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let report = ReloadReport {
            added: names(&["a", "b"]),
            removed: names(&["c"]),
            keys: names(&["log.level"]),
            needs_restart: names(&["amqp.users"]),
            ..ReloadReport::default()
        };
        assert_eq!(
            words(&report),
            "routes added: a, b\nroutes removed: c\nother keys changed: log.level\nneeds a restart: amqp.users"
        );
        assert_eq!(words(&ReloadReport::default()), "nothing has changed");
    }
}
