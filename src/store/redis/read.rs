//! Reads the tasks in flight of all owners, for people. The reader does not become an owner and changes nothing.

use super::{connection::Connection, format, keys::Keys, settings::RedisConfig};
use crate::{store::Record, task::TaskId};
use anyhow::Context;
use futures_util::future::join_all;
use redis::cmd;
use std::time::Duration;

/// Timeout for reaching Redis, while a person waits.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum concurrent reads.
const MAX_CONCURRENT_READS: usize = 500;

/// The records of all tasks, each with its owner.
///
/// # Errors
///
/// If Redis can't be reached or refuses.
pub async fn read(config: &RedisConfig) -> anyhow::Result<Vec<(Record, String)>> {
    let connection = Connection::open(config, READ_TIMEOUT).await?;
    let keys = Keys::new(&config.prefix);
    let first = || format!("the token store {} can't be read", config.urls[0]);
    let mut smembers = cmd("SMEMBERS");
    let owners: Vec<String> = connection
        .send(smembers.arg(keys.owners()))
        .await
        .with_context(first)?;
    let mut found = Vec::new();
    for owner in owners {
        let mut smembers = cmd("SMEMBERS");
        let tasks = smembers.arg(keys.owner(&owner).tasks);
        let ids: Vec<String> = connection.send(tasks).await.with_context(first)?;
        let ids: Vec<TaskId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        for ids in ids.chunks(MAX_CONCURRENT_READS) {
            let asked = ids.iter().map(async |id| {
                let mut hmget = cmd("HMGET");
                let hmget = hmget.arg(keys.task(*id)).arg("owner").arg(&format::FIELDS);
                connection.send::<Vec<Option<String>>>(hmget).await
            });
            for (id, fields) in ids.iter().zip(join_all(asked).await) {
                let mut fields = fields.with_context(first)?;
                // The set may contain the id of a task that another process owns or that has ended.
                if fields.remove(0).is_some_and(|found| found == owner) {
                    let record = format::record(*id, fields).with_context(first)?;
                    found.push((record, owner.clone()));
                }
            }
        }
    }
    Ok(found)
}

/// Checks that Redis can be read and written. Returns advice about its configuration.
///
/// # Errors
///
/// If Redis can't be reached or refuses.
pub async fn examine(config: &RedisConfig) -> anyhow::Result<Vec<&'static str>> {
    let connection = Connection::open(config, READ_TIMEOUT).await?;
    let mut set = cmd("SET");
    let key = Keys::new(&config.prefix).check();
    let written = connection.send::<()>(set.arg(key).arg("").arg("PX").arg(1));
    let wrong = || format!("the token store {} can't be written", config.urls[0]);
    written.await.with_context(wrong)?;
    Ok(connection.advice)
}
