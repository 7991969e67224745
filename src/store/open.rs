//! Opens the configured store.

use super::{contract::Store, memory::MemoryStore, record::OwnRoute, settings::StoreConfig};
use crate::{
    broker::Durability,
    store::{file::FileStore, redis::RedisStore},
};
use anyhow::Context;
use std::sync::Arc;

/// Opens the configured store for a process with these routes and a broker of this durability.
///
/// # Errors
///
/// What is wrong, where, and how to fix it.
pub async fn open(
    config: &StoreConfig,
    routes: Vec<OwnRoute>,
    broker: Durability,
) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match config {
        StoreConfig::Memory => Arc::new(MemoryStore::new(broker)),
        StoreConfig::File(file) => {
            let path = file.path.clone();
            // The open reads the whole file before the store has a thread of its own. Meanwhile signals must still be handled.
            #[expect(clippy::disallowed_methods, reason = "once, at the start; ADR 9")]
            let opened = tokio::task::spawn_blocking(move || FileStore::open(&path));
            Arc::new(
                opened
                    .await
                    .context("the token store could not be opened")??,
            )
        }
        StoreConfig::Redis(redis) => Arc::new(RedisStore::open(redis, routes).await?),
    })
}
