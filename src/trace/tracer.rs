//! The tracer and its spans as the rest of the bridge sees them.

use super::{
    recorder::{Exporter, Recorder},
    settings::OtlpConfig,
};
use crate::{
    broker::BrokerKind,
    route::Route,
    task::{Task, Traceparent},
};
use std::{fmt, sync::Arc, time::Duration};

/// Makes spans where `[otlp]` is configured.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<dyn Exporter>>);

impl Tracer {
    /// Starts the exporter on the current runtime, if it is configured. The spans name the broker.
    ///
    /// # Errors
    ///
    /// If a variable `OTEL_…` asks for something that this binary can't do.
    #[cfg_attr(
        not(feature = "otlp"),
        expect(unused_variables, reason = "such a binary refuses the table")
    )]
    pub fn start(config: Option<&OtlpConfig>, broker: BrokerKind) -> anyhow::Result<Self> {
        #[cfg(feature = "otlp")]
        if let Some(config) = config {
            let exporter = super::otlp::OtlpExporter::start(config, broker)?;
            return Ok(Self(Some(Arc::new(exporter))));
        }
        Ok(Self(None))
    }

    /// Begins the span of a task, in the trace that its input names or else in a new trace.
    #[must_use]
    pub fn task(&self, route: &Route, task: &Task) -> Span {
        Span(self.0.as_ref().map(|exporter| exporter.task(route, task)))
    }

    /// Exports the remaining spans, for at most `within`. Spans that begin afterwards are not recorded.
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

/// The ends of spans that are no errors.
const ENDS_WITHOUT_ERROR: [&str; 6] = [
    "recorded",
    "confirmed",
    "started",
    "answered",
    "acknowledged",
    "accepted",
];

/// A span. It ends at the latest when its last clone is dropped.
#[derive(Clone, Default)]
pub struct Span(Option<Arc<dyn Recorder>>);

impl Span {
    /// A span that this records.
    #[cfg(test)]
    pub(super) fn of(recorder: Arc<dyn Recorder>) -> Self {
        Self(Some(recorder))
    }

    /// A span that is not recorded, for a task whose span began before a restart or in another process.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Begins a child span: a call to another system.
    #[must_use]
    pub fn child(&self, name: &'static str) -> Self {
        Self(self.0.as_ref().map(|recorder| recorder.child(name, true)))
    }

    /// Begins a child span: a leg of the task's way on which the bridge waits.
    #[must_use]
    pub(super) fn leg(&self, name: &'static str) -> Self {
        Self(self.0.as_ref().map(|recorder| recorder.child(name, false)))
    }

    /// Notes the kind of the outcome: `completed`, `failed` or `canceled`.
    pub fn outcome(&self, kind: &'static str) {
        if let Some(recorder) = &self.0 {
            recorder.note("activity_bridge.outcome", kind, kind == "failed");
        }
    }

    /// Ends the span, and notes how it ended.
    pub fn ended(&self, end: &'static str) {
        if let Some(recorder) = &self.0 {
            let is_error = !ENDS_WITHOUT_ERROR.contains(&end);
            recorder.note("activity_bridge.end", end, is_error);
            recorder.end();
        }
    }

    /// The trace context for the worker; `None` if the span is not recorded.
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
