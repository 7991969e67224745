//! Helpers that know nothing of tasks: back-off, crash points, limits on log lines, rows of a table.

mod backoff;
pub mod crash_point;
pub mod log_limiter;
mod report;

pub use backoff::{Backoff, jittered};
pub use report::{Mark, Row};
