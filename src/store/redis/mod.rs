//! The store that several processes share.

pub mod adopt;
pub mod connection;
pub mod format;
pub mod keys;
mod lease;
mod limits;
mod liveness;
pub mod notes;
pub mod owned;
pub mod owners;
pub mod probe;
pub mod read;
mod redis_store;
pub mod scripts;
pub mod settings;
pub mod shared;
pub mod url;
mod write_notes;

pub use read::{examine, read};
pub use redis_store::RedisStore;
pub use settings::RedisConfig;
pub use url::RedisUrl;
