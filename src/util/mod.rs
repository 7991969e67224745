//! Helpers that know nothing of tasks: back-off, crash points, the queue of log lines and limits on them, supervised loops, labels of
//! metrics, rows of a table, databases in a file, reads of small files, who else can read a file, the name of the machine, the newest
//! warnings of the log, and characters that nobody sees.

mod backoff;
pub mod crash_point;
pub mod database_file;
pub mod file_access;
mod file_reads;
mod host;
mod invisible;
mod label;
pub mod log_limiter;
pub mod log_queue;
pub mod log_tally;
pub mod log_traces;
pub mod recent_problems;
mod report;
pub mod supervise;

pub use backoff::{Backoff, jittered};
pub use file_reads::FileReads;
pub use host::host;
pub use invisible::is_invisible;
pub use label::Label;
pub(crate) use label::labels;
pub use report::{Mark, Row};
