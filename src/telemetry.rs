//! The log: text for people or JSON for machines, on standard error.
//!
//! A log line never contains a token, an input, a result or a credential. The environment can't change the filter, because lapin
//! and the AWS SDK write message bodies at `debug`.

use crate::settings::Reader;
use std::{panic, thread};
use tracing_subscriber::{EnvFilter, fmt};

/// Starts the log.
pub fn start(config: LogConfig) {
    // lapin logs each returned message with its body; everything else that it logs is also in the errors that it returns.
    // The AWS crates log at length what their errors say.
    let filter = format!(
        "warn,activity_bridge={},lapin=off,aws_config=off",
        config.level
    );
    let builder = fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        // A line that can't be written is lost. By default the crate reports that on standard error too, which panics.
        .log_internal_errors(false)
        .with_target(false);
    if config.json {
        builder.json().flatten_event(true).init();
    } else {
        use std::io::IsTerminal;
        builder.with_ansi(std::io::stderr().is_terminal()).init();
    }
    log_panics();
}

/// A panic is a line of the log like any other. Its message may quote an input or a result, so only debug builds print it.
fn log_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let at = info.location().map(ToString::to_string);
        let thread = thread::current();
        let thread = thread.name().unwrap_or_default();
        tracing::error!(at, thread, "a panic; this is a bug of activity-bridge");
        if cfg!(debug_assertions) {
            print(info);
        }
    }));
}

/// The settings of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Whether each line is a JSON object; otherwise it is text for people.
    pub json: bool,
    /// The least severe level that is logged.
    pub level: tracing::Level,
}

pub(crate) fn read_log(mut log: Reader<'_>) -> LogConfig {
    let json = log.text("format", |text| match text {
        "text" => Ok(false),
        "json" => Ok(true),
        _ => Err("must be \"text\" or \"json\"".to_owned()),
    });
    let level = log.text("level", |text| {
        text.parse()
            .map_err(|_| "must be \"error\", \"warn\", \"info\", \"debug\" or \"trace\"".to_owned())
    });
    log.finish();
    LogConfig {
        json: json.unwrap_or(false),
        level: level.unwrap_or(tracing::Level::INFO),
    }
}
