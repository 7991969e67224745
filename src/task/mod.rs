//! What a task is: its id, its token, its timeouts, its input, its status, its progress
//! and its outcome.
//!
//! This is plain data that all other folders share. Nothing here talks to the network or knows of queues and stores.

mod activity_task;
mod dead_letter;
mod header;
mod id;
mod input;
mod outcome;
mod progress;
mod source_kind;
mod status;
mod timeouts;
mod token;
mod traceparent;

pub use activity_task::{Task, unix_millis};
pub use dead_letter::{DeadLetter, Death};
pub use header::HeaderValue;
pub use id::{NotATaskId, TaskId};
pub use input::Input;
pub use outcome::{Outcome, OutcomeKind, OwnFailure, SettleEnd};
pub use progress::Progress;
pub use source_kind::SourceKind;
pub use status::Status;
pub use timeouts::{Timeout, Timeouts};
pub use token::TaskToken;
pub use traceparent::{NotATraceparent, Traceparent};
