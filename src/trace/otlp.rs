//! Records spans and exports them by OTLP over HTTP.
//!
//! The span of a task begins with the answer to the poll and ends with the settlement. Its child spans are the legs of its way:
//! until the store has the task, until the broker has confirmed the message, until a worker begins, until the worker answers,
//! and until AWS has accepted the outcome. A span never contains a token, an input, a result, or
//! anything else that a worker wrote. No caller waits: if the exporter's queue is full, the span is dropped.

use super::{
    recorder::{Exporter, Recorder},
    settings::OtlpConfig,
    transport::Transport,
};
use crate::{
    broker::BrokerKind,
    route::Route,
    task::{HeaderValue, Task, Traceparent},
    util::Label,
};
use anyhow::Context as _;
use async_trait::async_trait;
use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
        TraceState, Tracer as _, TracerProvider,
    },
};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};
use std::{sync::Arc, time::Duration};
use tracing::{info, warn};

/// Maximum number of ended spans that wait for their export. With six spans for a task, a busy process fills it in a
/// second or two.
const MAX_QUEUED_SPANS: usize = 8_192;

/// Maximum number of spans in one request.
const MAX_SPANS_PER_REQUEST: usize = 512;

/// Interval of exports.
const EXPORT_INTERVAL: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct OtlpExporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    broker: BrokerKind,
}

impl OtlpExporter {
    /// Starts the exporter on the current runtime.
    pub(super) fn start(config: &OtlpConfig, broker: BrokerKind) -> anyhow::Result<Self> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Transport::new())
            // The next batch follows soon, and a retry would delay it.
            .with_retry_policy(RetryPolicy::disabled())
            .with_endpoint(config.traces_url())
            .build()
            .context("the export of spans can't start")?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_QUEUED_SPANS)
            .with_max_export_batch_size(MAX_SPANS_PER_REQUEST)
            .with_scheduled_delay(EXPORT_INTERVAL)
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
            endpoint = config.shown_endpoint(),
            sample_percent = config.sample_percent,
            "spans are exported"
        );
        Ok(Self {
            provider,
            tracer,
            broker,
        })
    }
}

#[async_trait]
impl Exporter for OtlpExporter {
    fn task(&self, route: &Route, task: &Task) -> Arc<dyn Recorder> {
        let around = match task.input.traceparent() {
            Some(parent) => Context::new().with_remote_span_context(remote(parent)),
            None => Context::new(),
        };
        let builder = self.tracer.span_builder("activity_task");
        let builder = builder
            // The message carries the context of this span.
            .with_kind(SpanKind::Producer)
            .with_start_time(task.polled_at)
            .with_attributes(attributes(self.broker, route, task));
        OtlpSpan::begin(&self.tracer, builder, &around)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "it waits for the export, which is itself a task of this runtime"
    )]
    async fn shutdown(&self, within: Duration) {
        let provider = self.provider.clone();
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(within));
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "the last spans could not be exported"),
            Err(error) => warn!(%error, "the last spans could not be exported"),
        }
    }
}

/// The attributes of a task's span. Names come from the OpenTelemetry conventions for messaging; those of the bridge itself begin
/// with `activity_bridge.`.
fn attributes(broker: BrokerKind, route: &Route, task: &Task) -> Vec<KeyValue> {
    let system = match broker {
        BrokerKind::Endpoint => "activity_bridge",
        BrokerKind::RabbitMq => "rabbitmq",
    };
    // The beginning, because traces have more readers than tasks have workers.
    let id = task.id.to_string();
    let key = route.routing_key(task);
    let destination = match route.config.destination.exchange() {
        "" => key.into_owned(),
        exchange => format!("{exchange}:{key}"),
    };
    let mut all = vec![
        KeyValue::new("messaging.system", system),
        KeyValue::new("messaging.destination.name", destination),
        KeyValue::new("messaging.message.id", id),
        KeyValue::new("activity_bridge.route", route.name().to_owned()),
        KeyValue::new("activity_bridge.source", route.source.kind().label()),
    ];
    // Workflow, run and activity, as the worker sees them in the headers.
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

struct OtlpSpan {
    tracer: SdkTracer,
    context: Context,
}

impl OtlpSpan {
    fn begin(tracer: &SdkTracer, builder: SpanBuilder, around: &Context) -> Arc<dyn Recorder> {
        let span = tracer.build_with_context(builder, around);
        Arc::new(Self {
            tracer: tracer.clone(),
            context: Context::new().with_span(span),
        })
    }
}

impl Recorder for OtlpSpan {
    fn child(&self, name: &'static str, is_call: bool) -> Arc<dyn Recorder> {
        let kind = match is_call {
            true => SpanKind::Client,
            false => SpanKind::Internal,
        };
        let builder = self.tracer.span_builder(name).with_kind(kind);
        Self::begin(&self.tracer, builder, &self.context)
    }

    fn note(&self, key: &'static str, value: &'static str, is_error: bool) {
        let span = self.context.span();
        span.set_attribute(KeyValue::new(key, value));
        if is_error {
            span.set_attribute(KeyValue::new("error.type", value));
            span.set_status(Status::error(value));
        }
    }

    fn end(&self) {
        self.context.span().end();
    }

    fn traceparent(&self) -> Option<Traceparent> {
        let span = self.context.span();
        let context = span.span_context();
        context.is_valid().then(|| Traceparent {
            trace_id: u128::from_be_bytes(context.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(context.span_id().to_bytes()),
            flags: context.trace_flags().to_u8(),
        })
    }
}
