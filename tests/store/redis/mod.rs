//! What only the store in Redis has: processes that share it, and a server that can be away.

#[path = "../../it/harness/authority.rs"]
mod authority;
mod bad_keys;
mod bad_records;
mod connection;
mod leases;
mod outage;
mod replica;
mod server;
mod sharing;
mod start;
mod tls;

use crate::harness::Kind;
use activity_bridge::store::redis::RedisConfig;
use replica::Replica;

pub use server::{PATIENT_CLUSTER, Server, redis_config};

/// The server of a kind of store that has one.
pub fn server(kind: Kind) -> &'static Server {
    match kind {
        Kind::Redis => Server::shared(),
        Kind::Cluster => Server::shared_cluster(),
        Kind::Memory | Kind::File => panic!("{kind:?} has no server"),
    }
}

/// A prefix of its own on that server.
pub fn config(kind: Kind) -> RedisConfig {
    redis_config(server(kind))
}
