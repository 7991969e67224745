//! The bridge's own spans: one span for each task, with a child span for each leg of its way.
//!
//! Spans exist only in a binary with the feature `otlp`, and only if `[otlp]` is configured. This folder owns the spans and their
//! export. The loops decide when a span begins and ends.

mod leg_span;
#[cfg(feature = "otlp")]
mod otlp;
mod recorder;
pub mod settings;
mod tracer;
#[cfg(feature = "otlp")]
mod transport;

pub use leg_span::LegSpan;
pub use settings::OtlpConfig;
pub use tracer::{Span, Tracer};
