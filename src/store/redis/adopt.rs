//! Changes of owner: the adoption of dead owners' tasks, and the claim of a task whose final reply came here.

use super::{
    format,
    owners::Liveness,
    redis_store::RedisStore,
    scripts,
    shared::{INBOX_TTL, MAX_INBOX_MESSAGES},
};
use crate::{
    store::{Claim, Record, StoreError},
    task::TaskId,
};
use futures_util::future::join_all;
use redis::cmd;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, error};

/// Time for which a dead owner is skipped if it has only tasks of other routes.
const SKIP_TIME: Duration = Duration::from_secs(30);

/// Maximum concurrent changes of owner.
const MAX_CONCURRENT_CHANGES: usize = 500;

/// The result of an attempt to become the owner of a task.
enum OwnerChange {
    /// This process is the owner since this epoch. `from` was the owner before.
    Ours {
        record: Record,
        epoch: u64,
        from: String,
    },
    /// The task belongs to a route that this process does not have.
    OtherRoute,
    /// The owner is not the expected one.
    Theirs,
    Ended,
    Unknown,
}

/// The result for some of a dead owner's tasks.
struct Page {
    adopted: Vec<Record>,
    /// Whether some tasks belong to other routes.
    other_routes: bool,
    all_answered: bool,
}

impl RedisStore {
    /// See [`Store::adopt`](crate::store::Store::adopt).
    pub(crate) async fn adopt_some(&self, most: usize) -> Result<Vec<Record>, StoreError> {
        let adopted = self.adopt_from_dead_owners(most).await;
        if !self.owned.is_resync_needed() || adopted.as_ref().is_ok_and(|some| !some.is_empty()) {
            return adopted;
        }
        let unknown = self.find_unknown(most).await?;
        if unknown.is_empty() {
            self.owned.found_nothing();
            return adopted;
        }
        Ok(unknown)
    }

    /// Adopts tasks of dead owners. A shard of a Cluster may be unavailable, with some of an owner's tasks or with the
    /// owner's own keys. That does not prevent the adoption from other owners.
    async fn adopt_from_dead_owners(&self, most: usize) -> Result<Vec<Record>, StoreError> {
        let mut none = Ok(Vec::new());
        for owner in self.dead_owners().await? {
            match self.adopt_from(&owner, most).await {
                Ok(adopted) if adopted.is_empty() => {}
                Ok(adopted) => return Ok(adopted),
                Err(error) => {
                    self.owned.needs_resync();
                    none = Err(error);
                }
            }
        }
        none
    }

    /// Makes this process the owner of a task, whoever the owner is.
    pub(crate) async fn claim_task(&self, id: TaskId) -> Result<Claim, StoreError> {
        self.add(&[id]).await?;
        let claim = match self.change_owner(id, "").await? {
            OwnerChange::Ours {
                record,
                epoch,
                from,
            } => {
                self.owned.set(id, epoch);
                if from != self.owner
                    && let Err(error) = self.notify_owner(&from, &[(id, epoch)], &[]).await
                {
                    // The old owner learns it when it writes its next note.
                    debug!(task = %id, %error, "could not send a message to the old owner");
                }
                return Ok(Claim::Ours(record));
            }
            OwnerChange::OtherRoute => Claim::OtherRoute,
            OwnerChange::Ended => Claim::Ended,
            OwnerChange::Theirs | OwnerChange::Unknown => Claim::Unknown,
        };
        self.remove_from_own_set(&[id]).await;
        Ok(claim)
    }

    /// Finds tasks that this process owns and does not know of, because an answer was lost.
    async fn find_unknown(&self, most: usize) -> Result<Vec<Record>, StoreError> {
        let mut smembers = cmd("SMEMBERS");
        let ids: Vec<String> = self
            .connection
            .send(smembers.arg(&self.own_keys.tasks))
            .await?;
        let ids = ids.iter().filter_map(|id| id.parse().ok());
        let unknown: Vec<_> = ids.filter(|id| !self.owned.has(*id)).take(most).collect();
        let (mut found, mut stale) = (Vec::new(), Vec::new());
        for (id, taken) in self.change_owners(&unknown, &self.owner).await {
            match taken {
                OwnerChange::Ours { record, epoch, .. } => {
                    self.owned.set(id, epoch);
                    found.push(record);
                }
                OwnerChange::OtherRoute
                | OwnerChange::Theirs
                | OwnerChange::Ended
                | OwnerChange::Unknown => stale.push(id),
            }
        }
        // A task that this process is about to own is known from the beginning, so it is not among these.
        self.remove_from_own_set(&stale).await;
        Ok(found)
    }

    async fn dead_owners(&self) -> Result<Vec<String>, StoreError> {
        let mut others = self.owners().await?;
        others.retain(|owner| *owner != self.owner);
        let liveness = join_all(others.iter().map(|owner| self.liveness(owner))).await;
        let mut skipped = self.skipped_owners.lock();
        skipped.retain(|_, since| since.elapsed() < SKIP_TIME);
        let dead = |(owner, liveness): (String, Liveness)| match liveness {
            Liveness::Dead => (!skipped.contains_key(&owner)).then_some(owner),
            Liveness::MayBeDead => None,
            Liveness::Alive(_) => {
                // It may die later, with other tasks.
                skipped.remove(&owner);
                None
            }
        };
        Ok(others.into_iter().zip(liveness).filter_map(dead).collect())
    }

    /// Adopts tasks of one dead owner. A task that fails on the way is found again in the dead owner's set. If that owner
    /// comes back, the resync of this process finds it.
    async fn adopt_from(&self, owner: &str, most: usize) -> Result<Vec<Record>, StoreError> {
        let keys = self.keys.owner(owner);
        let (mut cursor, mut others, mut all) = (0_u64, false, true);
        loop {
            let mut sscan = cmd("SSCAN");
            let sscan = sscan.arg(&keys.tasks).arg(cursor).arg("COUNT").arg(most);
            let (next, ids): (u64, Vec<String>) = self.connection.send(sscan).await?;
            let ids: Vec<TaskId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
            for ids in ids.chunks(most.max(1)) {
                // The answers of an unavailable shard take long.
                self.stay_alive().await?;
                let page = self.adopt_page(owner, ids).await?;
                if !page.adopted.is_empty() {
                    return Ok(page.adopted);
                }
                others |= page.other_routes;
                all &= page.all_answered;
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        if !all {
            return Ok(Vec::new());
        }
        if others {
            let mut skipped = self.skipped_owners.lock();
            skipped.insert(owner.to_owned(), Instant::now());
            return Ok(Vec::new());
        }
        let mut script = scripts::REMOVE_OWNER.key(&keys.lease);
        script.key(&keys.tasks).key(&keys.inbox);
        if self.connection.run(&script).await? {
            let mut srem = cmd("SREM");
            let srem = srem.arg(self.keys.owners()).arg(owner);
            let () = self.connection.send(srem).await?;
        }
        Ok(Vec::new())
    }

    /// Adopts those of these tasks that this process can own.
    async fn adopt_page(&self, owner: &str, ids: &[TaskId]) -> Result<Page, StoreError> {
        self.add(ids).await?;
        let (mut ours, mut adopted) = (Vec::new(), Vec::new());
        let (mut not_ours, mut stale, mut others) = (Vec::new(), Vec::new(), false);
        let answered = self.change_owners(ids, owner).await;
        let all_answered = answered.len() == ids.len();
        for (id, taken) in answered {
            match taken {
                // The task was claimed before, and its id was not removed from the old owner's set.
                OwnerChange::Ours { from, .. } if from == self.owner && self.owned.has(id) => {
                    stale.push(id)
                }
                OwnerChange::Ours { record, epoch, .. } => {
                    ours.push((id, epoch));
                    adopted.push(record);
                }
                OwnerChange::OtherRoute => {
                    others = true;
                    not_ours.push(id);
                }
                OwnerChange::Theirs | OwnerChange::Ended | OwnerChange::Unknown => {
                    stale.push(id);
                    not_ours.push(id);
                }
            }
        }
        // This process owns these tasks now, whatever fails below.
        for (id, epoch) in &ours {
            self.owned.set(*id, *epoch);
        }
        if let Err(error) = self.notify_owner(owner, &ours, &stale).await {
            debug!(owner, %error, "could not send a message to the old owner");
        }
        self.remove_from_own_set(&not_ours).await;
        Ok(Page {
            adopted,
            other_routes: others,
            all_answered,
        })
    }

    /// Removes ids from this process's own set. If that fails, a resync finds them there, or the process that adopts from
    /// this one.
    async fn remove_from_own_set(&self, ids: &[TaskId]) {
        if let Err(error) = self.remove(&self.own_keys.tasks, ids).await {
            debug!(%error, "could not remove tasks of others from the own set");
        }
    }

    /// Tries to become the owner of each task. Returns the results for which there was an answer. This process may own the
    /// other tasks too.
    async fn change_owners(&self, ids: &[TaskId], from: &str) -> Vec<(TaskId, OwnerChange)> {
        let mut all = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MAX_CONCURRENT_CHANGES) {
            let calls = ids.iter().map(|id| self.change_owner(*id, from));
            for (id, change) in ids.iter().zip(join_all(calls).await) {
                match change {
                    Ok(change) => all.push((*id, change)),
                    Err(error) => {
                        debug!(task = %id, %error, "could not change the owner of a task; trying again");
                        self.owned.needs_resync();
                    }
                }
            }
        }
        all
    }

    /// Makes this process the owner of a task if `from` is the owner. An empty `from` means any owner.
    async fn change_owner(&self, id: TaskId, from: &str) -> Result<OwnerChange, StoreError> {
        let mut script = scripts::CHANGE_OWNER.key(self.keys.task(id));
        script.arg(&self.owner).arg(from).arg(&self.routes);
        let mut answer: Vec<Option<String>> = self.connection.run(&script).await?;
        let what = answer.first().cloned().flatten().unwrap_or_default();
        Ok(match what.as_str() {
            "ours" if answer.len() > 3 => {
                let fields = answer.split_off(3);
                let epoch = answer[2].as_ref().and_then(|epoch| epoch.parse().ok());
                match format::record(id, fields) {
                    Ok(record) => OwnerChange::Ours {
                        record,
                        epoch: epoch.unwrap_or(0),
                        from: answer[1].take().unwrap_or_default(),
                    },
                    Err(error) => {
                        error!(task = %id, %error, "a record of another version, or damaged");
                        OwnerChange::OtherRoute
                    }
                }
            }
            "other route" => OwnerChange::OtherRoute,
            "theirs" => OwnerChange::Theirs,
            "ended" => OwnerChange::Ended,
            _ => OwnerChange::Unknown,
        })
    }

    /// Sends a message to an owner about the tasks that were taken over from it, because it may be alive and only frozen.
    /// Removes these tasks from its set. Removes the `stale` ids as well, unless the owner is alive again.
    async fn notify_owner(
        &self,
        owner: &str,
        taken: &[(TaskId, u64)],
        stale: &[TaskId],
    ) -> Result<(), StoreError> {
        if taken.is_empty() && stale.is_empty() {
            return Ok(());
        }
        let keys = self.keys.owner(owner);
        let (kind, text) = Self::taken_message(taken);
        let mut script = scripts::NOTIFY_OWNER.key(&keys.lease);
        script
            .key(&keys.tasks)
            .key(&keys.inbox)
            .arg(kind)
            .arg(text)
            .arg(MAX_INBOX_MESSAGES)
            .arg(format::millis(INBOX_TTL))
            .arg(taken.len());
        let ids = taken.iter().map(|(id, _)| id).chain(stale);
        script.arg(ids.map(|id| id.reveal()).collect::<Vec<_>>());
        self.connection.run(&script).await
    }
}
