//! The bridge's own spans: one for each task, with two inside.
//!
//! They are there only in a binary with the feature `otlp`, and only where `[otlp]` is configured.

#[cfg(not(feature = "otlp"))]
mod off;
#[cfg(feature = "otlp")]
mod otlp;
pub mod settings;
#[cfg(feature = "otlp")]
mod transport;

#[cfg(not(feature = "otlp"))]
pub use off::{Span, Tracer};
#[cfg(feature = "otlp")]
pub use otlp::{Span, Tracer};
pub use settings::OtlpConfig;
