//! The token store: what of a task survives a crash.
//!
//! A record is in the store before the task's message is published. It leaves the store after the task is settled and its
//! reply is acknowledged. A crash costs what the chosen store forgets.

pub mod codec;
mod contract;
mod error;
pub mod file;
mod memory;
mod open;
mod record;
pub mod redis;
pub mod settings;

pub use contract::{
    Claim, Forwarded, Lifetime, Ownership, PeerEvent, RENEW_INTERVAL, Renewal, Shared, Store,
};
pub use error::StoreError;
pub use file::FileStore;
pub use memory::MemoryStore;
pub use open::open;
pub use record::{Note, Record};
pub use redis::RedisStore;
pub use settings::StoreConfig;
