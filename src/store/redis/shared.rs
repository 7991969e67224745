//! What there is to do because other processes have tasks in the same Redis.

use super::limits::{LEASE, SET_KEPT};
use super::{connection, format, owners::Known, redis_store::RedisStore, scripts};
use crate::{
    store::{Claim, Forwarded, Ownership, PeerEvent, Record, Renewal, Shared, StoreError},
    task::{Status, TaskId},
};
use async_trait::async_trait;
use futures_util::future::{join_all, try_join};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::{Instant, timeout};

/// Notes that are written with one look.
const MAX_NOTES_PER_RENEWAL: usize = 2_000;

/// How long a look may take.
const RENEW_TIMEOUT: Duration = Duration::from_secs(1);

/// A lease with less than this left, in milliseconds, has missed several looks.
const OVERDUE_LEASE_MS: u64 = 4_000;

/// Letters that are read with one look; there are five looks a second.
const MAX_MESSAGES_PER_RENEWAL: usize = 5_000;

/// Letters that are kept for an owner that does not look, and for how long. It has lapsed by then and asks for each task.
pub(crate) const MAX_INBOX_MESSAGES: usize = 10_000;

pub(crate) const INBOX_TTL: Duration = Duration::from_secs(120);

/// The kinds of letters: their first field.
const TAKEN: &str = "taken";

const SIGN: &str = "sign";

/// The length of an id in a letter.
const ID: usize = 32;

/// Each an id with a kind and a text.
type Letters = Vec<(String, Vec<String>)>;

impl RedisStore {
    /// Renews the lease. The letters stay until they are said to be read.
    pub(crate) async fn renew(&self) -> Result<Letters, StoreError> {
        let began = Instant::now();
        let mut script = scripts::RENEW.key(&self.mine.lease);
        script
            .key(&self.mine.tasks)
            .key(&self.mine.inbox)
            .arg(format::millis(LEASE))
            .arg(format::millis(SET_KEPT))
            .arg(self.lease.last_read())
            .arg(MAX_MESSAGES_PER_RENEWAL);
        let answer: Result<(bool, Letters), _> = self.connection.run(&script).await;
        let (was_there, messages) = answer?;
        self.lease.renewed(began, was_there);
        Ok(messages)
    }

    /// The text of a letter that these tasks were taken, each in its turn.
    pub(crate) fn message(taken: &[(TaskId, u64)]) -> (&'static str, String) {
        let words: Vec<_> = taken
            .iter()
            .map(|(id, epoch)| format!("{id}:{epoch}"))
            .collect();
        (TAKEN, words.join(" "))
    }

    fn read_letters(&self, messages: Letters, news: &mut Vec<PeerEvent>) {
        for (id, message) in messages {
            self.lease.read_up_to(id);
            match message.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                [TAKEN, taken] => {
                    let taken = taken.split(' ').filter_map(|word| {
                        let (id, epoch) = word.split_once(':')?;
                        Some((id.parse().ok()?, epoch.parse().ok()?))
                    });
                    self.lose(taken, news);
                }
                [SIGN, sign] => {
                    if let Some((id, details)) = sign.split_at_checked(ID)
                        && let Ok(id) = id.parse()
                    {
                        let details = details.to_owned();
                        news.push(PeerEvent::Sign { id, details });
                    }
                }
                // Of a later version.
                _ => {}
            }
        }
    }

    fn lose(&self, taken: impl IntoIterator<Item = (TaskId, u64)>, news: &mut Vec<PeerEvent>) {
        let lost = taken
            .into_iter()
            .filter(|(id, epoch)| self.owned.lose(*id, *epoch));
        news.extend(lost.map(|(id, _)| PeerEvent::Taken(id)));
    }

    /// Where Redis has just lost its records, a task that is not there may still be in another process's memory, which will
    /// record it again as soon as it sees that its lease is gone.
    async fn must_be_whole(&self) -> Result<(), StoreError> {
        self.renew().await?;
        if self.lease.may_judge_others() {
            return Ok(());
        }
        let why = "the leases may have run out, and the other processes not have recorded their tasks again yet";
        Err(StoreError::Unavailable(why.to_owned()))
    }

    /// Whose the task is, or why it is nobody's.
    async fn mark_begun(&self, id: TaskId) -> Result<Vec<String>, StoreError> {
        let script = &scripts::SIGN;
        self.connection.run(&script.key(self.keys.task(id))).await
    }

    /// True where the owner is alive and will read it.
    async fn post(&self, owner: &str, kind: &str, text: &str) -> Result<bool, StoreError> {
        let keys = self.keys.owner(owner);
        let mut script = scripts::POST.key(&keys.lease);
        script
            .key(&keys.inbox)
            .arg(kind)
            .arg(text)
            .arg(MAX_INBOX_MESSAGES)
            .arg(format::millis(INBOX_TTL));
        self.connection.run(&script).await
    }

    /// Whose the task is, which is recorded as this process's where it is missing.
    async fn record_again(&self, record: &Record) -> Result<(String, u64), StoreError> {
        let mut script = scripts::REASSERT.key(self.keys.task(record.id));
        script
            .arg(&self.owner)
            .arg(&record.route)
            .arg(record.token.reveal())
            .arg(format::moment(Some(record.polled_at)))
            .arg(format::timeouts(record.timeouts)?)
            .arg(format::kept_for(record.timeouts))
            .arg(u8::from(record.published))
            .arg(u8::from(record.begun))
            .arg(format::moment(record.heard));
        self.connection.run(&script).await
    }
}

#[async_trait]
impl Shared for RedisStore {
    async fn renew(&self) -> Result<Renewal, StoreError> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(Renewal::default());
        }
        let renewal = timeout(RENEW_TIMEOUT, try_join(self.renew(), self.register())).await;
        let renewal = renewal.unwrap_or_else(|_| Err(connection::silent()));
        let (messages, ()) = renewal.inspect_err(|error| {
            self.lease.failed(error);
            self.owned.unavailable();
        })?;
        let written = self.write_notes(MAX_NOTES_PER_RENEWAL).await;
        // From here on there is nothing to wait for: what is news now is news when it is read.
        let mut news = Vec::new();
        self.read_letters(messages, &mut news);
        self.lose(written.taken, &mut news);
        let lapsed = self.lease.report_lapse() || written.missing;
        Ok(Renewal { lapsed, news })
    }

    async fn is_anyone_silent(&self) -> Result<bool, StoreError> {
        let owners = self.owners().await?;
        let known = join_all(owners.iter().map(|owner| self.known(owner))).await;
        Ok(known.into_iter().any(|known| match known {
            Known::Alive(left) => left < OVERDUE_LEASE_MS,
            Known::MayBeDead => true,
            Known::Dead => false,
        }))
    }

    async fn reassert(&self, record: &Record) -> Result<Ownership, StoreError> {
        let id = record.id;
        // Whoever thought this process dead may have taken the id out of its set.
        self.add(&[id]).await?;
        let (whose, epoch) = self.record_again(record).await?;
        let kept = match whose.as_str() {
            "ours" => {
                self.owned.set(id, epoch);
                return Ok(Ownership::Ours);
            }
            "theirs" => Ownership::Theirs,
            _ => Ownership::Ended,
        };
        self.owned.drop(id);
        self.remove(&self.mine.tasks, &[id]).await?;
        Ok(kept)
    }

    async fn claim(&self, id: TaskId) -> Result<Claim, StoreError> {
        let new = self.owned.begin(id);
        let claimed = self.take_one(id).await;
        match &claimed {
            Ok(Claim::Ours(_)) => {}
            Ok(Claim::OtherRoute | Claim::Ended | Claim::Unknown) => self.owned.drop(id),
            Err(_) if new => {
                self.owned.drop(id);
                self.owned.needs_resync();
            }
            Err(_) => {}
        }
        if let Ok(Claim::Unknown) = claimed {
            self.must_be_whole().await?;
        }
        claimed
    }

    async fn forward(&self, id: TaskId, details: &str) -> Result<Forwarded, StoreError> {
        let answer = self.mark_begun(id).await?;
        let (owner, cancel) = match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["to", owner, cancel] => (owner, cancel == "1"),
            ["ended"] => return Ok(Forwarded::Ended),
            _ => return Ok(Forwarded::Unknown),
        };
        // A task that is this process's without its knowledge is an orphan too.
        let others = owner != self.owner;
        let told = others && self.post(owner, SIGN, &format!("{id}{details}")).await?;
        if others && !told && !matches!(self.known(owner).await, Known::Dead) {
            let why =
                "the lease of the process that has the task ran out, and it may not be back yet";
            return Err(StoreError::Unavailable(why.to_owned()));
        }
        Ok(match (told, cancel) {
            (false, _) => Forwarded::Orphan,
            (true, true) => Forwarded::To(Status::CancelRequested),
            (true, false) => Forwarded::To(Status::Alive),
        })
    }
}
