//! Reads the tasks in flight of all owners, for people. The reader does not become an owner and changes nothing.

use super::{
    access::Access,
    adopt::task_id,
    connection::Connection,
    format::{self, Fields},
    keys::Keys,
    settings::RedisConfig,
};
use crate::{
    settings::Problem,
    store::{Contents, Record, StoreError},
    task::TaskId,
};
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
pub async fn read(config: &RedisConfig) -> anyhow::Result<Contents<(Record, String)>> {
    let reader = Reader {
        connection: Connection::open(config, READ_TIMEOUT).await?,
        keys: Keys::new(&config.prefix),
    };
    let mut found = Contents {
        records: Vec::new(),
        unreadable: 0,
    };
    let first = || format!("the token store {} can't be read", config.urls[0]);
    let read = reader.read_all(&mut found).await;
    read.with_context(first)?;
    Ok(found)
}

struct Reader {
    connection: Connection,
    keys: Keys,
}

impl Reader {
    async fn read_all(&self, found: &mut Contents<(Record, String)>) -> Result<(), StoreError> {
        for owner in self.members(&self.keys.owners(), found).await? {
            let Ok(owner) = format::owner(owner) else {
                found.unreadable += 1;
                continue;
            };
            let members = self.members(&self.keys.owner(&owner).tasks, found).await?;
            let ids: Vec<TaskId> = members
                .iter()
                .filter_map(|member| task_id(member))
                .collect();
            found.unreadable += members.len() - ids.len();
            for ids in ids.chunks(MAX_CONCURRENT_READS) {
                self.read_some(&owner, ids, found).await?;
            }
        }
        Ok(())
    }

    async fn read_some(
        &self,
        owner: &str,
        ids: &[TaskId],
        found: &mut Contents<(Record, String)>,
    ) -> Result<(), StoreError> {
        let asked = ids.iter().map(async |id| {
            let mut hmget = cmd("HMGET");
            let hmget = hmget
                .arg(self.keys.task(*id))
                .arg("owner")
                .arg(&format::FIELDS);
            self.connection.send::<Fields>(hmget).await
        });
        for (id, fields) in ids.iter().zip(join_all(asked).await) {
            let Some(mut fields) = readable(fields, found)? else {
                continue;
            };
            // The set may contain the id of a task that another process owns or that has ended.
            if fields
                .remove(0)
                .is_some_and(|found| found == owner.as_bytes())
            {
                match format::record(*id, fields) {
                    Ok(record) => found.records.push((record, owner.to_owned())),
                    Err(_) => found.unreadable += 1,
                }
            }
        }
        Ok(())
    }

    async fn members(
        &self,
        key: &str,
        found: &mut Contents<(Record, String)>,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let members = self.connection.send(cmd("SMEMBERS").arg(key)).await;
        Ok(readable(members, found)?.unwrap_or_default())
    }
}

/// The answer; `None` if what is there can't be read.
fn readable<T, U>(
    answer: Result<T, StoreError>,
    found: &mut Contents<U>,
) -> Result<Option<T>, StoreError> {
    match answer {
        Err(StoreError::Unreadable(_)) => {
            found.unreadable += 1;
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

/// What is wrong with the files that the settings name.
#[must_use]
pub fn examine_files(config: &RedisConfig) -> Option<Problem> {
    let read = config.has_files().then(|| Access::read_now(config));
    read?.err()
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
