//! Trace context: the W3C `traceparent` that an input may carry, and the bridge's own spans.
//!
//! Spans are there only in a binary with the feature `otlp`, and only where `[otlp]` is configured. Without them the
//! input's `traceparent` is handed on to the workers as it is. The input itself is never touched.

mod input;
#[cfg(not(feature = "otlp"))]
mod off;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "otlp")]
mod transport;

pub use input::{Input, Traceparent};
#[cfg(not(feature = "otlp"))]
pub use off::{Span, Tracer};
#[cfg(feature = "otlp")]
pub use otlp::{Span, Tracer};

/// The header, and the member of an input, that carries trace context.
pub const TRACEPARENT: &str = "traceparent";
