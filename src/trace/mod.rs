//! The bridge's own spans: one for each task, with two inside.
//!
//! They are there only in a binary with the feature `otlp`, and only where `[otlp]` is configured.

#[cfg(feature = "otlp")]
mod otlp;
pub mod settings;
mod tracer;
#[cfg(feature = "otlp")]
mod transport;

pub use settings::OtlpConfig;
pub use tracer::{Span, Tracer};
