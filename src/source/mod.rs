//! Where tasks come from and outcomes go: the seam between the bridge and an AWS service.
//!
//! Nothing outside this folder knows which service a task came from. A method of [`Source`] answers what differs between
//! services: limits, whether a cancel exists, which faults mean what.

pub mod aws;
mod contract;
mod error;
mod limits;
pub mod rate_limit;
pub mod settings;
mod sources;
pub mod step_functions;
pub mod swf;

pub use contract::{CancelRequested, Source, Unfit};
pub use error::{SourceError, Verdict};
pub use limits::cut;
pub use settings::SourceConfig;
pub use sources::{NoRegion, SourceOptions, Sources};
