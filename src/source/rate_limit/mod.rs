//! The rate limiter of API calls to AWS.

mod pace;
mod rate_limiter;

pub use pace::Answer;
pub use rate_limiter::{Call, Due, Permit, RateLimiter};
