//! The change of a task's owner. The record is read first: this process owns no task whose record it can't read.

use super::{format, redis_store::RedisStore, scripts};
use crate::{
    store::{Record, StoreError, codec::Unreadable},
    task::TaskId,
};
use futures_util::future::join_all;
use tracing::debug;

/// Maximum concurrent reads and changes of owner.
const MAX_CONCURRENT_CHANGES: usize = 500;

/// The result of an attempt to become the owner of a task.
pub(super) enum OwnerChange {
    /// This process is the owner since this epoch. `from` was the owner before.
    Ours {
        record: Record,
        epoch: u64,
        from: String,
    },
    /// The task belongs to a route that this process does not have.
    OtherRoute,
    /// Only a newer version of the bridge can read the record.
    Newer,
    /// The record can't be read. Its owner is known if that field can be read.
    Unreadable {
        owner: Option<String>,
    },
    /// The owner is not the expected one.
    Theirs,
    /// Another process changed the record at the same time.
    Changed,
    Ended,
    Unknown,
}

/// A record, and what must not have changed until the owner is changed.
struct Found {
    record: Record,
    owner: String,
    epoch: u64,
    /// The fields `turn` and `schema` as they are.
    unchanged: [Vec<u8>; 2],
}

impl RedisStore {
    /// Tries to become the owner of each task, if `from` is the owner. An empty `from` means any owner. Returns the results for
    /// which there was an answer. This process may own the other tasks too. If there was no answer at all, this is an error.
    pub(super) async fn change_owners(
        &self,
        ids: &[TaskId],
        from: &str,
    ) -> Result<Vec<(TaskId, OwnerChange)>, StoreError> {
        let (mut all, mut failed) = (Vec::with_capacity(ids.len()), None);
        for ids in ids.chunks(MAX_CONCURRENT_CHANGES) {
            let (mut found, mut own) = (Vec::new(), Vec::new());
            let read = ids.iter().map(|id| self.read_record(*id, from));
            for (id, read) in ids.iter().zip(join_all(read).await) {
                match read {
                    Ok(Ok(record)) => found.push((*id, record)),
                    Ok(Err(change)) => {
                        own.extend(matches!(change, OwnerChange::Ours { .. }).then_some(*id));
                        all.push((*id, change));
                    }
                    Err(error) => {
                        debug!(task = %id, %error, "could not read a record; trying again");
                        failed = Some(error);
                    }
                }
            }
            // The new owner's set has the id before the record names the owner. An own task may be missing in the set, if an answer
            // was lost.
            let owned: Vec<_> = found.iter().map(|(id, _)| *id).collect();
            if let Err(error) = self.add(&[&owned[..], &own[..]].concat()).await {
                failed = Some(error);
                continue;
            }
            let changing = found.into_iter().map(|(id, found)| self.take(id, found));
            let mut stale = Vec::new();
            for (id, change) in owned.into_iter().zip(join_all(changing).await) {
                match change {
                    Ok(change) => {
                        // A claim that is under way needs it in the set.
                        let is_stale = matches!(change, OwnerChange::Changed);
                        stale.extend((is_stale && !self.owned.has(id)).then_some(id));
                        all.push((id, change));
                    }
                    Err(error) => {
                        debug!(task = %id, %error, "could not change the owner of a task; trying again");
                        self.owned.needs_resync();
                        failed = Some(error);
                    }
                }
            }
            if let Err(error) = self.remove(&self.own_keys.tasks, &stale).await {
                debug!(%error, "could not remove tasks of others from the own set");
                self.owned.needs_resync();
            }
        }
        match failed {
            Some(error) if all.is_empty() => {
                self.owned.needs_resync();
                Err(error)
            }
            _ => Ok(all),
        }
    }

    /// Reads the record of a task whose owner is `from`, or anybody if that is empty. An error is the result if this process
    /// can't become the owner, or is the owner already.
    async fn read_record(
        &self,
        id: TaskId,
        from: &str,
    ) -> Result<Result<Found, OwnerChange>, StoreError> {
        let place = || self.keys.shown_task(id);
        let names = [&["owner", "turn", "ended"], &format::FIELDS[..]].concat();
        let mut fields = match self.fields(id, &names).await {
            Err(StoreError::Unreadable(why)) => {
                self.unreadable.note(&place(), &why);
                return Ok(Err(OwnerChange::Unreadable { owner: None }));
            }
            fields => fields?,
        };
        let rest = fields.split_off(3);
        let schema = rest.last().cloned().flatten().unwrap_or_default();
        let (ended, turn, owner) = (fields.pop(), fields.pop(), fields.pop());
        let Some(owner) = owner.flatten() else {
            self.unreadable.clear(place);
            let ended = ended.is_some_and(|ended| ended.is_some());
            return Ok(Err(match ended {
                true => OwnerChange::Ended,
                false => OwnerChange::Unknown,
            }));
        };
        let turn = turn.flatten().unwrap_or_else(|| b"0".to_vec());
        let owner = format::owner(owner).ok();
        let known = owner.clone().ok_or(Unreadable::Field("owner"));
        let read = known.and_then(|owner| {
            Ok(Found {
                record: format::record(id, rest)?,
                owner,
                epoch: format::epoch(&turn).ok_or(Unreadable::Field("turn"))?,
                unchanged: [turn, schema],
            })
        });
        let found = match read {
            Ok(found) => found,
            Err(why) => {
                self.unreadable.note(&place(), &why);
                return Ok(Err(match why {
                    Unreadable::Newer(_) => OwnerChange::Newer,
                    Unreadable::Json(_) | Unreadable::Field(_) => OwnerChange::Unreadable { owner },
                }));
            }
        };
        self.unreadable.clear(place);
        let is_own = found.owner == self.owner;
        Ok(match found {
            Found {
                record,
                owner,
                epoch,
                ..
            } if is_own => Err(OwnerChange::Ours {
                record,
                epoch,
                from: owner,
            }),
            found if !from.is_empty() && found.owner != from => Err(OwnerChange::Theirs),
            found if !self.routes.lock().iter().any(|own| own.has(&found.record)) => {
                Err(OwnerChange::OtherRoute)
            }
            found => Ok(found),
        })
    }

    /// Makes this process the owner of a task whose record it has read, unless the owner has changed meanwhile.
    async fn take(&self, id: TaskId, found: Found) -> Result<OwnerChange, StoreError> {
        let mut script = scripts::CHANGE_OWNER.key(self.keys.task(id));
        script.arg(&self.owner).arg(&found.owner);
        script.arg(&found.unchanged[..]).arg(&format::FIELDS);
        let mut fields: format::Fields = self.connection.run(&script).await?;
        if fields.is_empty() {
            return Ok(OwnerChange::Changed);
        }
        // What was noted of the task meanwhile is in these fields.
        let fields = fields.split_off(1);
        Ok(OwnerChange::Ours {
            record: format::record(id, fields).unwrap_or(found.record),
            epoch: found.epoch + 1,
            from: found.owner,
        })
    }
}
