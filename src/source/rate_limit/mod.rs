//! The rate limiter of the API calls to AWS: who may make the next call, and how fast a call may be made.
//!
//! `rate_limiter` is what callers see. `grants` decides who goes next, `queue` holds the waiting callers, `call` says what they
//! want. `pace` learns the rate of one operation from AWS's answers. `bucket` is for an operation whose rate AWS tells.

mod bucket;
mod call;
mod grants;
mod pace;
mod queue;
mod rate_limiter;

pub(crate) use bucket::Bucket;
pub use call::{Call, Due, RouteKey};
pub use pace::Answer;
pub use rate_limiter::{Permit, RateLimiter};
