//! The store `redis`: a Redis, or a Redis Cluster, that several processes share.
//!
//! `redis_store` explains the keys and who owns a task. `shared` and `adopt` hold the calls between processes. `lease`,
//! `owners` and `liveness` decide whether a process is alive. `owned` and `notes` are this process's memory. `connection`,
//! `probe`, `scripts` and `format` talk to Redis.

pub mod adopt;
mod change_owner;
pub mod connection;
pub mod format;
pub mod keys;
mod lease;
mod limits;
mod liveness;
pub mod notes;
mod own_keys;
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
