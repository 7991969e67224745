//! What only the store in Redis has: processes that share it, and a server that can be away.

mod server;

pub use server::{Server, redis_config};
