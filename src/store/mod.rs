//! The token store: what of a task survives a crash.
//!
//! A record is in the store before the task's message is published. It is removed after the task is settled and its
//! reply is acknowledged. What a crash costs depends on the store: `memory` loses all records, `file` and `redis` keep them.
//!
//! This folder owns the format of the records and what is stored. It does not decide when a task is recorded, published or
//! settled. It does not know the table of tasks in flight.

pub mod codec;
mod contract;
mod error;
pub mod file;
mod memory;
mod open;
mod outcome;
mod record;
pub mod redis;
pub mod settings;
mod unreadable;

pub use contract::{
    Claim, Forwarded, Lifetime, Ownership, PeerEvent, RENEW_INTERVAL, Renewal, Shared, Store,
};
pub use error::StoreError;
pub use file::FileStore;
pub use memory::MemoryStore;
pub use open::open;
pub use record::{Note, OwnRoute, Record};
pub use redis::RedisStore;
pub use settings::StoreConfig;
pub use unreadable::Contents;
