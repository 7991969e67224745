//! What knows nothing of tasks: back-off, crash points, limits on log lines, supervised loops, rows of a table.

mod backoff;
pub mod crash_point;
pub mod log_limiter;
mod report;
pub mod supervise;

pub use backoff::{Backoff, jittered};
pub use report::{Mark, Row};
