//! The bridge's own spans, exported by OTLP over HTTP.
//!
//! One for each task, from the poll's answer to its settlement, with a child for each of the two waits inside: until the
//! broker has confirmed the message, and until AWS has taken the outcome. A span never holds a token, an input, a
//! result, or anything else that a worker wrote. Nothing here waits: a span that finds the exporter's queue full is
//! dropped.

use super::{settings::OtlpConfig, transport::Transport};
use crate::{
    route::Route,
    task::{HeaderValue, Task, Traceparent},
};
use anyhow::Context as _;
use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
        Tracer as _, TracerProvider,
    },
};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};
use std::{fmt, time::Duration};
use tracing::{info, warn};

/// Ended spans that wait to be exported; at three for a task, a few seconds' worth on a busy day.
const QUEUE: usize = 8_192;

const BATCH: usize = 512;

const EXPORT_EVERY: Duration = Duration::from_secs(2);

/// Makes spans where `[otlp]` is configured.
#[derive(Clone, Default)]
pub struct Tracer(Option<(SdkTracerProvider, SdkTracer)>);

impl Tracer {
    /// Starts the exporter on the current runtime, or none without a configuration.
    ///
    /// # Errors
    ///
    /// Where a variable `OTEL_…` asks for what this binary can't do.
    pub fn start(config: Option<&OtlpConfig>) -> anyhow::Result<Self> {
        let Some(config) = config else {
            return Ok(Self(None));
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Transport::new())
            // The next batch is not far, and a retry would hold it up.
            .with_retry_policy(RetryPolicy::disabled())
            .with_endpoint(config.traces_url())
            .build()
            .context("the export of spans can't start")?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(EXPORT_EVERY)
            .build();
        let processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build();
        let ratio = f64::from(config.sample_percent) / 100.0;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                ratio,
            ))))
            .with_resource(
                Resource::builder()
                    .with_service_name(config.service_name.clone())
                    .with_attribute(version)
                    .build(),
            )
            .build();
        let tracer = provider.tracer("activity-bridge");
        info!(
            endpoint = config.traces_url(),
            sample_percent = config.sample_percent,
            "spans are exported"
        );
        Ok(Self(Some((provider, tracer))))
    }

    /// Begins the span of a task, in the trace that its input names or in one of its own.
    #[must_use]
    pub fn task(&self, route: &Route, task: &Task) -> Span {
        let Some((_, tracer)) = &self.0 else {
            return Span::default();
        };
        let around = match task.input.traceparent() {
            Some(parent) => Context::new().with_remote_span_context(remote(parent)),
            None => Context::new(),
        };
        let builder = tracer
            .span_builder("activity_task")
            // Its context goes out with the message.
            .with_kind(SpanKind::Producer)
            .with_start_time(task.polled_at)
            .with_attributes(attributes(route, task));
        let span = tracer.build_with_context(builder, &around);
        Span(Some((tracer.clone(), Context::new().with_span(span))))
    }

    /// Exports what is left, for at most so long. Spans that are begun afterwards are not recorded.
    #[expect(
        clippy::disallowed_methods,
        reason = "it waits for the export, which is itself a task of this runtime"
    )]
    pub async fn shutdown(&self, within: Duration) {
        let Some((provider, _)) = self.0.clone() else {
            return;
        };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(within));
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "the last spans could not be exported"),
            Err(error) => warn!(%error, "the last spans could not be exported"),
        }
    }
}

/// The names of the OpenTelemetry conventions for messaging, and `activity_bridge.…` for what the bridge knows.
fn attributes(route: &Route, task: &Task) -> Vec<KeyValue> {
    let id = task.id.to_string();
    let key = route.routing_key(task);
    let destination = match route.config.destination.exchange() {
        "" => key.into_owned(),
        exchange => format!("{exchange}:{key}"),
    };
    let mut all = vec![
        KeyValue::new("messaging.system", "rabbitmq"),
        KeyValue::new("messaging.destination.name", destination),
        KeyValue::new("messaging.message.id", id),
        KeyValue::new("activity_bridge.route", route.name().to_owned()),
        KeyValue::new("activity_bridge.source", route.source.kind()),
    ];
    // Workflow, run and activity: what the worker sees in its headers too.
    all.extend(task.headers.iter().map(|(name, value)| {
        let name = format!("activity_bridge.{}", name.replace('-', "_"));
        let value = match value {
            HeaderValue::Text(text) => Value::from(text.clone()),
            HeaderValue::Integer(number) => Value::from(*number),
        };
        KeyValue::new(name, value)
    }));
    all
}

fn remote(parent: Traceparent) -> SpanContext {
    SpanContext::new(
        TraceId::from(parent.trace_id),
        SpanId::from(parent.span_id),
        TraceFlags::new(parent.flags) & TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    )
}

/// A part of a task's way; nothing where spans are not configured. It ends at the latest when its last clone is dropped.
#[derive(Clone, Default)]
pub struct Span(Option<(SdkTracer, Context)>);

impl Span {
    /// Of a task whose beginning is not at hand: nothing is recorded.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Begins a part of this part.
    #[must_use]
    pub fn child(&self, name: &'static str) -> Self {
        Self(self.0.as_ref().map(|(tracer, context)| {
            let builder = tracer.span_builder(name).with_kind(SpanKind::Client);
            let span = tracer.build_with_context(builder, context);
            (tracer.clone(), Context::new().with_span(span))
        }))
    }

    /// How the task was settled: `completed`, `failed`, `canceled`.
    pub fn outcome(&self, kind: &'static str) {
        self.note("activity_bridge.outcome", kind, kind != "failed");
    }

    /// It is over, in this way.
    pub fn ended(&self, end: &'static str) {
        self.note(
            "activity_bridge.end",
            end,
            matches!(end, "accepted" | "confirmed"),
        );
        if let Some((_, context)) = &self.0 {
            context.span().end();
        }
    }

    fn note(&self, key: &'static str, value: &'static str, good: bool) {
        let Some((_, context)) = &self.0 else {
            return;
        };
        let span = context.span();
        span.set_attribute(KeyValue::new(key, value));
        if !good {
            span.set_attribute(KeyValue::new("error.type", value));
            span.set_status(Status::error(value));
        }
    }

    /// What a worker continues the trace from.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        let (_, context) = self.0.as_ref()?;
        let span = context.span();
        let context = span.span_context();
        context.is_valid().then(|| Traceparent {
            trace_id: u128::from_be_bytes(context.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(context.span_id().to_bytes()),
            flags: context.trace_flags().to_u8(),
        })
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Span")
    }
}
