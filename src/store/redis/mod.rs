//! The store `redis`: a Redis, or a Redis Cluster, that several processes share.
//!
//! `redis_store` explains the keys and who owns a task. `shared` and `adopt` hold the calls between processes. `lease`,
//! `owners` and `liveness` decide whether a process is alive. `owned` and `notes` are this process's memory. `connection`,
//! `link`, `access`, `probe`, `error_text`, `scripts` and `format` talk to Redis.

mod access;
pub mod adopt;
mod change_owner;
pub mod connection;
mod error_text;
pub mod format;
pub mod keys;
mod lease;
mod limits;
mod link;
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

pub use read::{examine, examine_files, read};
pub use redis_store::RedisStore;
pub use settings::RedisConfig;
pub use url::RedisUrl;
