//! The rate limiter of the API calls to AWS: who may make the next call, and how fast a call may be made.
//!
//! `rate_limiter` orders the callers. `pace` learns the rate of one operation from AWS's answers. `bucket` is for an operation
//! whose rate AWS tells.

mod bucket;
mod pace;
mod rate_limiter;

pub(crate) use bucket::Bucket;
pub use pace::Answer;
pub use rate_limiter::{Call, Due, Permit, RateLimiter};
