//! The log: text for people or JSON for machines, on standard error. A thread of its own writes it, because the process must not wait
//! for who reads it.
//!
//! A log line never contains a token, an input, a result or a credential. The environment can't change the filter, because lapin
//! and the AWS SDK write message bodies at `debug`.

mod trace_id;

use crate::{
    settings::{Reader, Word},
    util::{
        log_queue::{self, LogQueue},
        recent_problems::{RecentProblems, Recorder},
    },
};
use std::{
    io::{self, IsTerminal, Write},
    panic,
    sync::OnceLock,
    thread,
};
use tracing::Level;
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt::{self, format::JsonFields},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

/// Starts the log. The process must hold a [`LastLines`] then.
pub fn start(config: LogConfig) {
    let told = |lost| {
        // At every level of the log.
        tracing::error!(
            lost,
            "log lines were lost, because they could not be written"
        )
    };
    let queue = LogQueue::start(io::stderr(), told).ok();
    if let Some(queue) = &queue {
        queue.serve_process();
    }
    let writer = move || LogWriter(queue.clone());
    // The crate must not report on standard error that it can't write a line, because that would panic.
    let layer = fmt::layer().with_writer(writer).log_internal_errors(false);
    let format = fmt::format().with_target(false);
    let lines = if config.json {
        let format = trace_id::WithTraceId::json(format.json().flatten_event(true));
        layer
            .fmt_fields(JsonFields::new())
            .event_format(format)
            .boxed()
    } else {
        let format = format.with_ansi(io::stderr().is_terminal());
        layer
            .event_format(trace_id::WithTraceId::text(format))
            .boxed()
    };
    let (filter, handle) = reload::Layer::new(filter(config.level));
    drop(FILTER.set(handle));
    let recorder = Recorder(RecentProblems::of_process());
    let log = tracing_subscriber::registry().with(filter).with(lines);
    log.with(recorder).init();
    log_panics();
}

fn filter(level: Level) -> Targets {
    Targets::new()
        .with_default(Level::WARN)
        .with_target("activity_bridge", level)
        // lapin logs each returned message with its body; everything else that it logs is also in the errors that it returns.
        .with_target("lapin", LevelFilter::OFF)
        // The AWS crates log at length what their errors say.
        .with_target("aws_config", LevelFilter::OFF)
}

/// Not set in a process without a log.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Changes the level of the log, from now on.
pub fn set_level(level: Level) {
    if let Some(handle) = FILTER.get() {
        // An error means that the log has ended.
        drop(handle.reload(filter(level)));
    }
}

/// Takes one event at a time. Without the thread that writes, each event is written at once.
struct LogWriter(Option<LogQueue>);

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line)?;
        Ok(line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        match &self.0 {
            Some(queue) => queue.push(line),
            None => io::stderr().write_all(line)?,
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits a moment for the last lines of the log when it is dropped, also after a panic.
#[derive(Debug)]
pub struct LastLines;

impl Drop for LastLines {
    fn drop(&mut self) {
        log_queue::flush();
    }
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
    let help = "text writes lines for people. json writes one JSON object for each line.";
    let format = log.word("format", help).or(Format::Text);
    let help = "The least severe level of the bridge's own lines.";
    let level = log.word("level", help).or(tracing::Level::INFO);
    log.finish();
    LogConfig {
        json: format == Format::Json,
        level,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

impl Word for Format {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Word for tracing::Level {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::ERROR),
        ("warn", Self::WARN),
        ("info", Self::INFO),
        ("debug", Self::DEBUG),
        ("trace", Self::TRACE),
    ];

    /// In capitals too, as environments often have it; and `1` for `error` to `5` for `trace`.
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_that_log_bodies_are_never_heard() {
        let filter = filter(Level::TRACE);
        assert!(filter.would_enable("activity_bridge::app", &Level::TRACE));
        for target in ["lapin", "lapin::channel", "aws_config::imds"] {
            assert!(!filter.would_enable(target, &Level::ERROR), "{target}");
        }
        assert!(filter.would_enable("aws_smithy_runtime::client", &Level::WARN));
        assert!(!filter.would_enable("aws_smithy_runtime::client", &Level::INFO));
    }
}
