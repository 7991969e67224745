//! Changes of owner: the adoption of dead owners' tasks, and the claim of a task whose final reply came here.

use super::{
    change_owner::OwnerChange,
    error_text, format,
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
use tracing::debug;

/// Time for which a dead owner is skipped if it has only tasks of other routes and tasks that can't be read.
const SKIP_TIME: Duration = Duration::from_secs(30);

/// Maximum number of attempts to change the owner of a task that others change at the same time.
const MAX_ATTEMPTS: usize = 5;

/// The result for some of a dead owner's tasks.
struct Page {
    adopted: Vec<Record>,
    /// Whether some tasks stay with the dead owner: they belong to other routes, or can't be read.
    some_stay: bool,
    all_answered: bool,
}

/// The id of a task from a member of a set.
pub(super) fn task_id(member: &[u8]) -> Option<TaskId> {
    str::from_utf8(member).ok()?.parse().ok()
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
        Ok(match self.change_owner(id).await? {
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
                Claim::Ours(record)
            }
            OwnerChange::OtherRoute | OwnerChange::Newer => Claim::OtherRoute,
            OwnerChange::Unreadable { owner } => match self.may_have_task(owner).await {
                true => Claim::OtherRoute,
                false => Claim::Unreadable,
            },
            OwnerChange::Ended => Claim::Ended,
            OwnerChange::Theirs | OwnerChange::Changed | OwnerChange::Unknown => Claim::Unknown,
        })
    }

    /// Makes this process the owner of a task, whoever the owner is. Other processes may change the owner at the same time.
    async fn change_owner(&self, id: TaskId) -> Result<OwnerChange, StoreError> {
        for _ in 0..MAX_ATTEMPTS {
            match self.change_owners(&[id], "").await?.pop() {
                Some((_, OwnerChange::Changed)) => {}
                Some((_, change)) => return Ok(change),
                None => return Err(error_text::no_answer()),
            }
        }
        Err(StoreError::Unavailable(
            "the owner of the task changes again and again".to_owned(),
        ))
    }

    /// Whether the owner of a task is another process that may be alive, with the task in memory.
    pub(super) async fn may_have_task(&self, owner: Option<String>) -> bool {
        match owner.filter(|owner| *owner != self.owner) {
            Some(owner) => !matches!(self.liveness(&owner).await, Liveness::Dead),
            None => false,
        }
    }

    /// Finds tasks that this process owns and does not know of, because an answer was lost.
    async fn find_unknown(&self, most: usize) -> Result<Vec<Record>, StoreError> {
        let mut smembers = cmd("SMEMBERS");
        let key = &self.own_keys.tasks;
        let ids = self.connection.send(smembers.arg(key)).await;
        let ids: Vec<Vec<u8>> = self.unreadable.check(key, ids)?.unwrap_or_default();
        let ids = ids.iter().filter_map(|id| task_id(id));
        let unknown: Vec<_> = ids.filter(|id| !self.owned.has(*id)).take(most).collect();
        let (mut found, mut stale) = (Vec::new(), Vec::new());
        for (id, taken) in self.change_owners(&unknown, &self.owner).await? {
            match taken {
                OwnerChange::Ours { record, epoch, .. } => {
                    self.owned.set(id, epoch);
                    found.push(record);
                }
                // Its place in the set is all that leads to it.
                OwnerChange::OtherRoute | OwnerChange::Newer | OwnerChange::Unreadable { .. } => {}
                OwnerChange::Theirs
                | OwnerChange::Changed
                | OwnerChange::Ended
                | OwnerChange::Unknown => stale.push(id),
            }
        }
        // A task that this process is about to own is known from the beginning.
        stale.retain(|id| !self.owned.has(*id));
        if let Err(error) = self.remove(&self.own_keys.tasks, &stale).await {
            debug!(%error, "could not remove tasks of others from the own set");
        }
        Ok(found)
    }

    async fn dead_owners(&self) -> Result<Vec<String>, StoreError> {
        let mut others = self.owners().await?;
        others.retain(|owner| *owner != self.owner);
        let liveness = join_all(others.iter().map(|owner| self.liveness(owner))).await;
        let mut skipped = self.skipped_owners.lock();
        let skipped = &mut skipped.since;
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
        let by_routes = self.skipped_owners.lock().by_routes;
        let (mut cursor, mut some_stay, mut all) = (0_u64, false, true);
        loop {
            let mut sscan = cmd("SSCAN");
            let sscan = sscan.arg(&keys.tasks).arg(cursor).arg("COUNT").arg(most);
            let scanned = self.connection.send(sscan).await;
            let scanned: Option<(u64, Vec<Vec<u8>>)> =
                self.unreadable.check(&keys.tasks, scanned)?;
            let Some((next, members)) = scanned else {
                some_stay = true;
                break;
            };
            let mut ids = Vec::with_capacity(members.len());
            for member in members {
                match task_id(&member) {
                    Some(id) => ids.push(id),
                    None => {
                        self.note_member(&keys.tasks, &member);
                        some_stay = true;
                    }
                }
            }
            for ids in ids.chunks(most.max(1)) {
                // The answers of an unavailable shard take long.
                self.stay_alive().await?;
                let page = self.adopt_page(owner, ids).await?;
                if !page.adopted.is_empty() {
                    return Ok(page.adopted);
                }
                some_stay |= page.some_stay;
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
        if some_stay {
            let mut skipped = self.skipped_owners.lock();
            // The tasks that stay may belong to a route that was added meanwhile.
            if skipped.by_routes == by_routes {
                skipped.since.insert(owner.to_owned(), Instant::now());
            }
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
        let (mut ours, mut adopted) = (Vec::new(), Vec::new());
        let (mut stale, mut some_stay) = (Vec::new(), false);
        let answered = self.change_owners(ids, owner).await?;
        let mut all_answered = answered.len() == ids.len();
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
                OwnerChange::OtherRoute | OwnerChange::Newer | OwnerChange::Unreadable { .. } => {
                    some_stay = true
                }
                OwnerChange::Changed => all_answered = false,
                OwnerChange::Theirs | OwnerChange::Ended | OwnerChange::Unknown => stale.push(id),
            }
        }
        // This process owns these tasks now, whatever fails below.
        for (id, epoch) in &ours {
            self.owned.set(*id, *epoch);
        }
        if let Err(error) = self.notify_owner(owner, &ours, &stale).await {
            debug!(owner, %error, "could not send a message to the old owner");
        }
        Ok(Page {
            adopted,
            some_stay,
            all_answered,
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
