//! The store that several processes share.

mod url;

pub use url::RedisUrl;
