//! Taking tasks over: those of the dead, and any whose end has come here.

use super::{
    format,
    owners::Known,
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

/// A dead owner that has nothing for this process is not looked at again for this time.
const PASS_OVER: Duration = Duration::from_secs(30);

/// Questions that are on their way at once.
const MAX_CONCURRENT_READS: usize = 500;

/// What became of the question for one task.
enum Taken {
    /// It is this process's, since this turn; it was this owner's before.
    Ours {
        record: Record,
        epoch: u64,
        from: String,
    },
    /// It is of a route that this process does not have.
    OtherRoute,
    /// It is not who was thought to have it that has it.
    Theirs,
    Ended,
    Unknown,
}

/// What was found of some of a dead owner's tasks.
struct Page {
    adopted: Vec<Record>,
    /// Whether some are of other routes.
    other_routes: bool,
    all_answered: bool,
}

impl RedisStore {
    /// See [`Store::adopt`](crate::store::Store::adopt).
    pub(crate) async fn adopt_some(&self, most: usize) -> Result<Vec<Record>, StoreError> {
        let adopted = self.adopt_from_the_dead(most).await;
        if !self.owned.is_resync_needed() || adopted.as_ref().is_ok_and(|some| !some.is_empty()) {
            return adopted;
        }
        let unknown_own = self.unknown_own(most).await?;
        if unknown_own.is_empty() {
            self.owned.found_nothing();
            return adopted;
        }
        Ok(unknown_own)
    }

    /// Of a Cluster a shard may be away, with some of an owner's tasks or with all that is an owner's own. That keeps nobody
    /// from the others.
    async fn adopt_from_the_dead(&self, most: usize) -> Result<Vec<Record>, StoreError> {
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

    /// Takes one task, whoever has it.
    pub(crate) async fn take_one(&self, id: TaskId) -> Result<Claim, StoreError> {
        self.add(&[id]).await?;
        let claim = match self.take(id, "").await? {
            Taken::Ours {
                record,
                epoch,
                from,
            } => {
                self.owned.set(id, epoch);
                if from != self.owner
                    && let Err(error) = self.tell(&from, &[(id, epoch)], &[]).await
                {
                    // It learns of it when it notes its next heartbeat.
                    debug!(task = %id, %error, "the old owner was not told");
                }
                return Ok(Claim::Ours(record));
            }
            Taken::OtherRoute => Claim::OtherRoute,
            Taken::Ended => Claim::Ended,
            Taken::Theirs | Taken::Unknown => Claim::Unknown,
        };
        self.strike_mine(&[id]).await;
        Ok(claim)
    }

    /// Tasks that are this process's though it was never told, because an answer was lost.
    async fn unknown_own(&self, most: usize) -> Result<Vec<Record>, StoreError> {
        let mut smembers = cmd("SMEMBERS");
        let ids: Vec<String> = self.connection.send(smembers.arg(&self.mine.tasks)).await?;
        let ids = ids.iter().filter_map(|id| id.parse().ok());
        let unknown: Vec<_> = ids.filter(|id| !self.owned.has(*id)).take(most).collect();
        let (mut found, mut stale) = (Vec::new(), Vec::new());
        for (id, taken) in self.take_each(&unknown, &self.owner).await {
            match taken {
                Taken::Ours { record, epoch, .. } => {
                    self.owned.set(id, epoch);
                    found.push(record);
                }
                Taken::OtherRoute | Taken::Theirs | Taken::Ended | Taken::Unknown => stale.push(id),
            }
        }
        // Whatever is on its way here is held from the beginning, and not among these.
        self.strike_mine(&stale).await;
        Ok(found)
    }

    async fn dead_owners(&self) -> Result<Vec<String>, StoreError> {
        let mut others = self.owners().await?;
        others.retain(|owner| *owner != self.owner);
        let known = join_all(others.iter().map(|owner| self.known(owner))).await;
        let mut passed_over = self.passed_over.lock();
        passed_over.retain(|_, since| since.elapsed() < PASS_OVER);
        let dead = |(owner, known): (String, Known)| match known {
            Known::Dead => (!passed_over.contains_key(&owner)).then_some(owner),
            Known::MayBeDead => None,
            Known::Alive(_) => {
                // It may die again, with other tasks.
                passed_over.remove(&owner);
                None
            }
        };
        Ok(others.into_iter().zip(known).filter_map(dead).collect())
    }

    /// What fails on the way is found again in the set of the dead, or, should that owner come back, among the strays.
    async fn adopt_from(&self, owner: &str, most: usize) -> Result<Vec<Record>, StoreError> {
        let keys = self.keys.owner(owner);
        let (mut cursor, mut others, mut all) = (0_u64, false, true);
        loop {
            let mut sscan = cmd("SSCAN");
            let sscan = sscan.arg(&keys.tasks).arg(cursor).arg("COUNT").arg(most);
            let (next, ids): (u64, Vec<String>) = self.connection.send(sscan).await?;
            let ids: Vec<TaskId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
            for ids in ids.chunks(most.max(1)) {
                // Those of a shard that is away take long.
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
            let mut passed_over = self.passed_over.lock();
            passed_over.insert(owner.to_owned(), Instant::now());
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

    /// Takes what can be had of these.
    async fn adopt_page(&self, owner: &str, ids: &[TaskId]) -> Result<Page, StoreError> {
        self.add(ids).await?;
        let (mut ours, mut adopted) = (Vec::new(), Vec::new());
        let (mut not_ours, mut stale, mut others) = (Vec::new(), Vec::new(), false);
        let answered = self.take_each(ids, owner).await;
        let all_answered = answered.len() == ids.len();
        for (id, taken) in answered {
            match taken {
                // Claimed before, and its old owner's set was not told.
                Taken::Ours { from, .. } if from == self.owner && self.owned.has(id) => {
                    stale.push(id)
                }
                Taken::Ours { record, epoch, .. } => {
                    ours.push((id, epoch));
                    adopted.push(record);
                }
                Taken::OtherRoute => {
                    others = true;
                    not_ours.push(id);
                }
                Taken::Theirs | Taken::Ended | Taken::Unknown => {
                    stale.push(id);
                    not_ours.push(id);
                }
            }
        }
        // They are this process's, whatever fails from here on.
        for (id, epoch) in &ours {
            self.owned.set(*id, *epoch);
        }
        if let Err(error) = self.tell(owner, &ours, &stale).await {
            debug!(owner, %error, "could not say what was taken over");
        }
        self.strike_mine(&not_ours).await;
        Ok(Page {
            adopted,
            other_routes: others,
            all_answered,
        })
    }

    /// Takes ids out of this process's own set. Where that fails they are found there as strays, or by whoever adopts from it.
    async fn strike_mine(&self, ids: &[TaskId]) {
        if let Err(error) = self.remove(&self.mine.tasks, ids).await {
            debug!(%error, "could not take tasks of others out of the own set");
        }
    }

    /// What became of those for which there was an answer. The others may be this process's all the same.
    async fn take_each(&self, ids: &[TaskId], from: &str) -> Vec<(TaskId, Taken)> {
        let mut all = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MAX_CONCURRENT_READS) {
            let asked = ids.iter().map(|id| self.take(*id, from));
            for (id, taken) in ids.iter().zip(join_all(asked).await) {
                match taken {
                    Ok(taken) => all.push((*id, taken)),
                    Err(error) => {
                        debug!(task = %id, %error, "could not take a task; trying again");
                        self.owned.needs_resync();
                    }
                }
            }
        }
        all
    }

    /// Makes a task this process's if it is that owner's, or whoever's if that is empty.
    async fn take(&self, id: TaskId, from: &str) -> Result<Taken, StoreError> {
        let mut script = scripts::TAKE.key(self.keys.task(id));
        script.arg(&self.owner).arg(from).arg(&self.routes);
        let mut answer: Vec<Option<String>> = self.connection.run(&script).await?;
        let what = answer.first().cloned().flatten().unwrap_or_default();
        Ok(match what.as_str() {
            "ours" if answer.len() > 3 => {
                let fields = answer.split_off(3);
                let epoch = answer[2].as_ref().and_then(|epoch| epoch.parse().ok());
                match format::record(id, fields) {
                    Ok(record) => Taken::Ours {
                        record,
                        epoch: epoch.unwrap_or(0),
                        from: answer[1].take().unwrap_or_default(),
                    },
                    Err(error) => {
                        error!(task = %id, %error, "a record of another version, or damaged");
                        Taken::OtherRoute
                    }
                }
            }
            "other route" => Taken::OtherRoute,
            "theirs" => Taken::Theirs,
            "ended" => Taken::Ended,
            _ => Taken::Unknown,
        })
    }

    /// Tells an owner, who may only be frozen, what was taken from it, and takes that out of its set; and, unless it is
    /// back, what is not to be had.
    async fn tell(
        &self,
        owner: &str,
        taken: &[(TaskId, u64)],
        stale: &[TaskId],
    ) -> Result<(), StoreError> {
        if taken.is_empty() && stale.is_empty() {
            return Ok(());
        }
        let keys = self.keys.owner(owner);
        let (kind, text) = Self::message(taken);
        let mut script = scripts::TAKEN.key(&keys.lease);
        script
            .key(&keys.tasks)
            .key(&keys.inbox)
            .arg(kind)
            .arg(text)
            .arg(MAX_INBOX_MESSAGES)
            .arg(format::millis(INBOX_TTL))
            .arg(taken.len());
        let ids = taken.iter().map(|(id, _)| id).chain(stale);
        script.arg(ids.map(TaskId::to_string).collect::<Vec<_>>());
        self.connection.run(&script).await
    }
}
