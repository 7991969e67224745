//! The tracer and its spans as the rest of the bridge sees them. What records them is behind two traits, and exists in a
//! binary with the feature `otlp` alone.

use super::settings::OtlpConfig;
use crate::{
    route::Route,
    task::{Task, Traceparent},
};
use async_trait::async_trait;
use std::{fmt, sync::Arc, time::Duration};

/// Makes spans and sends them away.
#[async_trait]
pub(super) trait Exporter: Send + Sync {
    fn task(&self, route: &Route, task: &Task) -> Arc<dyn Recorder>;

    async fn shutdown(&self, within: Duration);
}

/// Records one span.
pub(super) trait Recorder: Send + Sync {
    fn child(&self, name: &'static str) -> Arc<dyn Recorder>;

    /// Sets an attribute, and the status of the span where the value is an error.
    fn note(&self, key: &'static str, value: &'static str, is_error: bool);

    fn end(&self);

    fn traceparent(&self) -> Option<Traceparent>;
}

/// Makes spans where `[otlp]` is configured.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<dyn Exporter>>);

impl Tracer {
    /// Starts the exporter on the current runtime, or none without a configuration.
    ///
    /// # Errors
    ///
    /// Where a variable `OTEL_…` asks for what this binary can't do.
    #[cfg_attr(
        not(feature = "otlp"),
        expect(unused_variables, reason = "such a binary refuses the table")
    )]
    pub fn start(config: Option<&OtlpConfig>) -> anyhow::Result<Self> {
        #[cfg(feature = "otlp")]
        if let Some(config) = config {
            let exporter = super::otlp::OtlpExporter::start(config)?;
            return Ok(Self(Some(Arc::new(exporter))));
        }
        Ok(Self(None))
    }

    /// Begins the span of a task, in the trace that its input names or in one of its own.
    #[must_use]
    pub fn task(&self, route: &Route, task: &Task) -> Span {
        Span(self.0.as_ref().map(|exporter| exporter.task(route, task)))
    }

    /// Exports what is left, for at most so long. Spans that are begun afterwards are not recorded.
    pub async fn shutdown(&self, within: Duration) {
        if let Some(exporter) = &self.0 {
            exporter.shutdown(within).await;
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer")
    }
}

/// A part of a task's way; nothing where spans are not configured. It ends at the latest when its last clone is dropped.
#[derive(Clone, Default)]
pub struct Span(Option<Arc<dyn Recorder>>);

impl Span {
    /// Of a task whose beginning is not at hand: nothing is recorded.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Begins a part of this part.
    #[must_use]
    pub fn child(&self, name: &'static str) -> Self {
        Self(self.0.as_ref().map(|recorder| recorder.child(name)))
    }

    /// How the task was settled: `completed`, `failed`, `canceled`.
    pub fn outcome(&self, kind: &'static str) {
        if let Some(recorder) = &self.0 {
            recorder.note("activity_bridge.outcome", kind, kind == "failed");
        }
    }

    /// It is over, in this way.
    pub fn ended(&self, end: &'static str) {
        if let Some(recorder) = &self.0 {
            let is_error = !matches!(end, "accepted" | "confirmed");
            recorder.note("activity_bridge.end", end, is_error);
            recorder.end();
        }
    }

    /// What a worker continues the trace from.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        self.0.as_ref()?.traceparent()
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Span")
    }
}
