//! Where tasks come from and outcomes go: the seam between the bridge and the AWS services.
//!
//! Nothing outside this folder knows which service a task came from. A method of [`Source`] answers what differs between
//! services: limits, whether a cancel exists, what a fault means.
//!
//! A call makes one attempt. This folder does not repeat a call and does not decide when a call is made: the callers in
//! `intake/` and `settle/` do. They first acquire a permit from the [`RateLimiter`](rate_limit::RateLimiter).

pub mod aws;
mod contract;
mod error;
mod limits;
pub mod rate_limit;
pub mod settings;
mod sources;
pub mod step_functions;
pub mod swf;

pub use contract::{CancelRequested, Discovered, PendingTasks, Source, Unfit};
pub use error::{SourceError, Verdict};
pub use limits::cut;
pub(crate) use limits::{is_longer, one_line, unusable_token};
pub use settings::SourceConfig;
pub use sources::{NoSources, SourceOptions, Sources};
