//! The calls of [`Shared`]: renewals of the lease, messages between processes, and the owners of tasks.

use super::limits::LEASE;
use super::{error_text, format, owners::Liveness, redis_store::RedisStore, scripts};
use crate::{
    store::{
        Claim, Forwarded, OwnRoute, Ownership, PeerEvent, Record, Renewal, Shared, StoreError,
    },
    task::{Status, TaskId},
    util::Label,
};
use async_trait::async_trait;
use futures_util::future::{join_all, join3};
use redis::cmd;
use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, timeout};

/// Maximum number of notes that are written with one renewal.
const MAX_NOTES_PER_RENEWAL: usize = 2_000;

/// Timeout for a renewal.
const RENEW_TIMEOUT: Duration = Duration::from_secs(1);

/// A lease with less time left than this, in milliseconds, has missed several renewals.
const OVERDUE_LEASE_MS: u64 = 4_000;

/// Maximum number of messages in an inbox. An owner that reads none for so long has lapsed, and asks for each of its tasks
/// anyway.
pub(crate) const MAX_INBOX_MESSAGES: usize = 10_000;

/// Time to live of an inbox after its last message.
pub(crate) const INBOX_TTL: Duration = Duration::from_secs(120);

/// The kind of a message that says which tasks were taken over. The kind is the first field of a message.
const TAKEN: &str = "taken";

/// The kind of a message with a worker's sign of life.
const SIGN: &str = "sign";

/// The kind of a message about a queue that the broker has lost: when it was missing, the number of messages in it or "-", and its
/// name.
const QUEUE_LOST: &str = "queue-lost";

/// The length of a task id in a message.
const ID_LENGTH: usize = 32;

/// Messages from an inbox. Each has an id, and a kind with a text.
pub(super) type Messages = Vec<(String, Vec<String>)>;

/// Whether a message has the form of its kind. A later version may write other kinds.
pub(super) fn is_legible(message: &[String]) -> bool {
    let [kind, text] = message else {
        return false;
    };
    let is_taken = |word: &str| {
        word.split_once(':')
            .is_some_and(|(id, epoch)| id.parse::<TaskId>().is_ok() && epoch.parse::<u64>().is_ok())
    };
    match kind.as_str() {
        TAKEN => text.split(' ').all(is_taken),
        SIGN => text
            .split_at_checked(ID_LENGTH)
            .is_some_and(|(id, _)| id.parse::<TaskId>().is_ok()),
        QUEUE_LOST => queue_lost(text).is_some(),
        _ => true,
    }
}

/// The event of a message about a lost queue; `None` if it can't be read.
fn queue_lost(text: &str) -> Option<PeerEvent> {
    let mut parts = text.splitn(3, ' ');
    let (millis, ready, queue) = (parts.next()?, parts.next()?, parts.next()?);
    Some(PeerEvent::QueueLost {
        queue: queue.to_owned(),
        missing_at: format::at(millis)?,
        ready: ready.parse().ok(),
    })
}

impl RedisStore {
    /// Renews the lease.
    pub(crate) async fn renew(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let mut script = scripts::RENEW.key(&self.own_keys.lease);
        script.arg(format::millis(LEASE));
        let was_there: bool = self.connection.run(&script).await?;
        self.lease.renewed(began, was_there);
        Ok(())
    }

    /// The kind and the text of a message that says which tasks were taken over, each with its epoch.
    pub(crate) fn taken_message(taken: &[(TaskId, u64)]) -> (&'static str, String) {
        let words: Vec<_> = taken
            .iter()
            .map(|(id, epoch)| format!("{}:{epoch}", id.reveal()))
            .collect();
        (TAKEN, words.join(" "))
    }

    fn read_messages(&self, messages: Messages, events: &mut Vec<PeerEvent>) {
        for (id, message) in messages {
            self.lease.read_up_to(id);
            match message.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                [TAKEN, taken] => {
                    let taken = taken.split(' ').filter_map(|word| {
                        let (id, epoch) = word.split_once(':')?;
                        Some((id.parse().ok()?, epoch.parse().ok()?))
                    });
                    self.release(taken, events);
                }
                [SIGN, sign] => {
                    if let Some((id, details)) = sign.split_at_checked(ID_LENGTH)
                        && let Ok(id) = id.parse()
                    {
                        let details = details.to_owned();
                        events.push(PeerEvent::Sign { id, details });
                    }
                }
                [QUEUE_LOST, text] => events.extend(queue_lost(text)),
                // A later version wrote this message.
                _ => {}
            }
        }
    }

    fn release(&self, taken: impl IntoIterator<Item = (TaskId, u64)>, events: &mut Vec<PeerEvent>) {
        let lost = taken
            .into_iter()
            .filter(|(id, epoch)| self.owned.lost_to_other(*id, *epoch));
        events.extend(lost.map(|(id, _)| PeerEvent::Taken(id)));
    }

    /// Fails unless an unknown task can be trusted to be unknown. If Redis has just lost its records, another process may
    /// still have the task in memory. That process records it again as soon as it finds that its lease is missing.
    async fn ensure_complete(&self) -> Result<(), StoreError> {
        self.renew().await?;
        if self.lease.may_judge_others() {
            return Ok(());
        }
        let why = "the leases may have run out, and the other processes not have recorded their tasks again yet";
        Err(StoreError::Unavailable(why.to_owned()))
    }

    /// Notes that a worker works on the task. Returns its owner, or why it has none; nothing if the record can't be read.
    async fn mark_begun(&self, id: TaskId) -> Result<Vec<String>, StoreError> {
        let script = &scripts::MARK_BEGUN;
        let answer = self.connection.run(&script.key(self.keys.task(id))).await;
        let answer: Vec<Vec<u8>> = self.about_task(id, answer)?.unwrap_or_default();
        let texts = answer.into_iter().map(format::owner);
        Ok(texts.collect::<Result<_, _>>().unwrap_or_default())
    }

    /// Adds a message to an owner's inbox. True if the owner is alive and will read it.
    async fn post(&self, owner: &str, kind: &str, text: &str) -> Result<bool, StoreError> {
        let keys = self.keys.owner(owner);
        let mut script = scripts::POST.key(&keys.lease);
        script
            .key(&keys.inbox)
            .arg(kind)
            .arg(text)
            .arg(MAX_INBOX_MESSAGES)
            .arg(format::millis(INBOX_TTL));
        let posted = self.connection.run(&script).await;
        // The owner makes it anew.
        Ok(self.unreadable.check(&keys.inbox, posted)?.unwrap_or(false))
    }

    /// The same, but a process without a lease that may come back is an error.
    async fn tell(&self, owner: &str, kind: &str, text: &str) -> Result<bool, StoreError> {
        let told = self.post(owner, kind, text).await?;
        if !told && !matches!(self.liveness(owner).await, Liveness::Dead) {
            let why = "the lease of another process ran out, and it may not be back yet";
            return Err(StoreError::Unavailable(why.to_owned()));
        }
        Ok(told)
    }

    /// Records the task with this process as the owner if Redis has no record. Returns the owner and the epoch.
    async fn record_again(&self, record: &Record) -> Result<(String, u64), StoreError> {
        let mut script = scripts::REASSERT.key(self.keys.task(record.id));
        script
            .arg(&self.owner)
            .arg(&record.route)
            .arg(record.token.reveal())
            .arg(format::moment(Some(record.polled_at)))
            .arg(format::timeouts(record.timeouts)?)
            .arg(format::ttl_millis(record.timeouts))
            .arg(u8::from(record.published))
            .arg(u8::from(record.begun))
            .arg(format::moment(record.heard))
            .arg(u8::from(record.durable))
            .arg(record.failed_deliveries)
            .arg(&*record.activity)
            .arg(record.source.map_or("", Label::label));
        let answer = self.connection.run(&script).await;
        // No other process can take over what nobody can read.
        let answer: Option<(String, Vec<u8>)> = self.about_task(record.id, answer)?;
        Ok(answer.map_or_else(
            || ("ours".to_owned(), 0),
            |(owner, turn)| (owner, format::epoch(&turn).unwrap_or(0)),
        ))
    }
}

#[async_trait]
impl Shared for RedisStore {
    fn set_routes(&self, routes: Vec<OwnRoute>) {
        *self.routes.lock() = routes;
        // The skipped owners may have tasks of these routes.
        let mut skipped = self.skipped_owners.lock();
        skipped.by_routes += 1;
        skipped.since.clear();
    }

    async fn renew(&self) -> Result<Renewal, StoreError> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(Renewal::default());
        }
        // Each runs to its end, whatever the others meet.
        let all = join3(self.renew(), self.read_inbox(), self.register());
        let renewal = match timeout(RENEW_TIMEOUT, all).await {
            Ok((renewed, messages, registered)) => renewed.and(registered).and(messages),
            Err(_) => Err(error_text::no_answer()),
        };
        let messages = renewal.inspect_err(|error| {
            self.lease.failed(error);
            self.owned.unavailable();
        })?;
        let written = self.write_notes(MAX_NOTES_PER_RENEWAL).await;
        // No `await` follows, so the events are still true when the caller reads them.
        let mut events = Vec::new();
        self.read_messages(messages, &mut events);
        self.release(written.taken, &mut events);
        let lapsed = self.lease.report_lapse() || written.missing;
        Ok(Renewal { lapsed, events })
    }

    async fn is_anyone_silent(&self) -> Result<bool, StoreError> {
        let owners = self.owners().await?;
        let states = join_all(owners.iter().map(|owner| self.liveness(owner))).await;
        Ok(states.into_iter().any(|state| match state {
            Liveness::Alive(left) => left < OVERDUE_LEASE_MS,
            Liveness::MayBeDead => true,
            Liveness::Dead => false,
        }))
    }

    async fn reassert(&self, record: &Record) -> Result<Ownership, StoreError> {
        let id = record.id;
        // A process that took this one for dead may have removed the id from its set.
        self.add(&[id]).await?;
        let (owner, epoch) = self.record_again(record).await?;
        let ownership = match owner.as_str() {
            "ours" => {
                self.owned.set(id, epoch);
                return Ok(Ownership::Ours);
            }
            "theirs" => Ownership::Theirs,
            _ => Ownership::Ended,
        };
        self.owned.drop(id);
        self.remove(&self.own_keys.tasks, &[id]).await?;
        Ok(ownership)
    }

    async fn route_of(&self, id: TaskId) -> Result<Option<String>, StoreError> {
        let mut hget = cmd("HGET");
        let hget = hget.arg(self.keys.task(id)).arg("route");
        let route = self.connection.send(hget).await;
        let route: Option<Vec<u8>> = self.about_task(id, route)?.flatten();
        // The claim of a task whose route can't be read fails.
        Ok(route.and_then(|route| String::from_utf8(route).ok()))
    }

    async fn is_elsewhere(&self, id: TaskId) -> Result<bool, StoreError> {
        let mut hget = cmd("HGET");
        let hget = hget.arg(self.keys.task(id)).arg("owner");
        let owner = self.connection.send(hget).await;
        let owner: Option<Vec<u8>> = self.about_task(id, owner)?.flatten();
        let owner = owner.and_then(|owner| String::from_utf8(owner).ok());
        Ok(self.may_have_task(owner).await)
    }

    async fn claim(&self, id: TaskId) -> Result<Claim, StoreError> {
        let new = self.owned.begin(id);
        let claimed = self.claim_task(id).await;
        match &claimed {
            Ok(Claim::Ours(_)) => {}
            Ok(Claim::OtherRoute | Claim::Unreadable | Claim::Ended | Claim::Unknown) => {
                self.owned.drop(id);
            }
            Err(_) if new => {
                self.owned.drop(id);
                self.owned.needs_resync();
            }
            Err(_) => {}
        }
        if let Ok(Claim::Unknown) = claimed {
            self.ensure_complete().await?;
        }
        claimed
    }

    async fn has_tasks(&self) -> Result<bool, StoreError> {
        let owners = self.owners().await?.into_iter();
        let counted = owners.map(async |owner| {
            let mut scard = cmd("SCARD");
            let key = self.keys.owner(&owner).tasks;
            let count: u64 = self.connection.send(scard.arg(key)).await?;
            Ok(count)
        });
        let counts: Result<Vec<u64>, StoreError> = join_all(counted).await.into_iter().collect();
        Ok(counts?.into_iter().any(|count| count > 0))
    }

    async fn tell_queue_lost(
        &self,
        queue: &str,
        missing_at: SystemTime,
        ready: Option<usize>,
    ) -> Result<(), StoreError> {
        let ready = ready.map_or_else(|| "-".to_owned(), |ready| ready.to_string());
        let text = format!("{} {ready} {queue}", format::moment(Some(missing_at)));
        let others = self.owners().await?.into_iter();
        let others = others.filter(|owner| *owner != self.owner);
        let told = others.map(async |owner| self.tell(&owner, QUEUE_LOST, &text).await);
        // An error for one must not keep the others from being told.
        let told: Result<Vec<bool>, _> = join_all(told).await.into_iter().collect();
        // A process that is dead has no need to know: its tasks are adopted.
        told.map(drop)
    }

    async fn forward(&self, id: TaskId, details: &str) -> Result<Forwarded, StoreError> {
        let answer = self.mark_begun(id).await?;
        let (owner, cancel) = match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["to", owner, cancel] => (owner, cancel == "1"),
            ["ended"] => return Ok(Forwarded::Ended),
            _ => return Ok(Forwarded::Unknown),
        };
        // If this process owns the task and does not know it, the task is an orphan too.
        let others = owner != self.owner;
        let text = format!("{}{details}", id.reveal());
        let told = others && self.tell(owner, SIGN, &text).await?;
        Ok(match (told, cancel) {
            (false, _) => Forwarded::Orphan,
            (true, true) => Forwarded::To(Status::CancelRequested),
            (true, false) => Forwarded::To(Status::Alive),
        })
    }
}
