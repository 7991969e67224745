//! A store that does what the test says.

use super::{
    log::{Did, Log},
    script::Script,
};
use activity_bridge::{
    store::{
        Claim, Forwarded, Lifetime, Note, OwnRoute, Ownership, Record, Renewal, Shared, Store,
        StoreError,
    },
    task::{Outcome, Task, TaskId, Timeouts},
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

/// Who else knows the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Nobody: they die with the process.
    #[default]
    Memory,
    /// The next process.
    File,
    /// Other processes.
    Redis,
}

pub struct ScriptedStore {
    log: Arc<Log>,
    pub kind: Kind,
    pub inserts: Script<Result<(), StoreError>>,
    pub removes: Script<Result<(), StoreError>>,
    pub losses: Script<Result<(), StoreError>>,
    pub tells: Script<Result<(), StoreError>>,
    /// What other processes were told of lost queues: when each was missing, and the messages in it.
    pub told: Mutex<Vec<(SystemTime, Option<usize>)>>,
    /// Whether no process has recorded a task.
    pub is_empty: AtomicBool,
    pub open: Mutex<HashSet<TaskId>>,
    /// Records of tasks that it handed out before, while their routes were not configured.
    pub strange: Mutex<Vec<Record>>,
    /// Records of tasks that nobody has, and their messages.
    pub orphans: Mutex<VecDeque<Record>>,
    pub messages: Mutex<HashMap<TaskId, Task>>,
    pub message_answers: Script<Result<Option<Task>, StoreError>>,
    pub adoptions: Script<Result<(), StoreError>>,
    pub unavailable: Mutex<Option<String>>,
    pub renewals: Script<Result<Renewal, StoreError>>,
    pub ownerships: Script<Result<Ownership, StoreError>>,
    pub routes: Script<Result<Option<String>, StoreError>>,
    pub elsewhere: Script<Result<bool, StoreError>>,
    pub claims: Script<Result<Claim, StoreError>>,
    pub forwards: Script<Result<Forwarded, StoreError>>,
    /// All notes but those of heartbeats.
    pub notes: Mutex<Vec<(TaskId, Note)>>,
    /// The tasks whose messages are noted as lost, and not as confirmed since.
    pub lost: Mutex<HashSet<TaskId>>,
    /// What was noted with each confirm.
    pub confirmed: Mutex<Vec<(TaskId, Timeouts)>>,
    pub keeps: Script<Result<(), StoreError>>,
    /// The outcomes that it keeps.
    pub kept: Mutex<HashMap<TaskId, Outcome>>,
    pub kept_answers: Script<Result<(), StoreError>>,
}

impl ScriptedStore {
    pub fn new(log: Arc<Log>, kind: Kind) -> Self {
        Self {
            log,
            kind,
            inserts: Script::default(),
            removes: Script::default(),
            losses: Script::default(),
            tells: Script::default(),
            told: Mutex::default(),
            is_empty: AtomicBool::default(),
            open: Mutex::default(),
            strange: Mutex::default(),
            orphans: Mutex::default(),
            messages: Mutex::default(),
            message_answers: Script::default(),
            adoptions: Script::default(),
            unavailable: Mutex::default(),
            renewals: Script::default(),
            ownerships: Script::default(),
            routes: Script::default(),
            elsewhere: Script::default(),
            claims: Script::default(),
            forwards: Script::default(),
            notes: Mutex::default(),
            lost: Mutex::default(),
            confirmed: Mutex::default(),
            keeps: Script::default(),
            kept: Mutex::default(),
            kept_answers: Script::default(),
        }
    }
}

#[async_trait]
impl Store for ScriptedStore {
    async fn insert(&self, _route: &OwnRoute, task: &Task) -> Result<(), StoreError> {
        self.inserts.next().await.unwrap_or(Ok(()))?;
        self.open.lock().insert(task.id);
        self.log.note(Did::Recorded);
        Ok(())
    }

    async fn confirmed(&self, id: TaskId, timeouts: Timeouts) -> Result<(), StoreError> {
        self.confirmed.lock().push((id, timeouts));
        self.lost.lock().remove(&id);
        self.log.note(Did::NotedConfirm);
        Ok(())
    }

    async fn messages_lost(&self, ids: &[TaskId]) -> Result<(), StoreError> {
        self.losses.next().await.unwrap_or(Ok(()))?;
        self.lost.lock().extend(ids);
        for _ in ids {
            self.log.note(Did::NotedLoss);
        }
        Ok(())
    }

    fn note(&self, id: TaskId, note: Note) {
        match note {
            Note::Heard(_) => {}
            _ => self.notes.lock().push((id, note)),
        }
    }

    async fn remove(&self, id: TaskId) -> Result<(), StoreError> {
        self.removes.next().await.unwrap_or(Ok(()))?;
        self.open.lock().remove(&id);
        self.log.note(Did::Removed);
        Ok(())
    }

    async fn adopt(&self, most: usize) -> Result<Vec<Record>, StoreError> {
        self.adoptions.next().await.unwrap_or(Ok(()))?;
        let mut orphans = self.orphans.lock();
        let page = orphans.len().min(most);
        Ok(orphans.drain(..page).collect())
    }

    async fn offer_again(&self) {
        let strange = std::mem::take(&mut *self.strange.lock());
        self.orphans.lock().extend(strange);
    }

    async fn message(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        let answer = self.message_answers.next().await;
        answer.unwrap_or_else(|| Ok(self.messages.lock().get(&id).cloned()))
    }

    async fn copy(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.message(id).await
    }

    async fn keep_outcome(&self, id: TaskId, outcome: &Outcome) -> Result<(), StoreError> {
        self.keeps.next().await.unwrap_or(Ok(()))?;
        self.kept.lock().insert(id, outcome.clone());
        self.log.note(Did::KeptOutcome);
        Ok(())
    }

    async fn kept_outcome(&self, id: TaskId) -> Result<Option<Outcome>, StoreError> {
        self.kept_answers.next().await.unwrap_or(Ok(()))?;
        Ok(self.kept.lock().get(&id).cloned())
    }

    async fn ended(&self, _most: usize) -> Result<Vec<TaskId>, StoreError> {
        Ok(Vec::new())
    }

    async fn count(&self) -> Result<usize, StoreError> {
        Ok(self.open.lock().len())
    }

    fn unavailable(&self) -> Option<String> {
        self.unavailable.lock().clone()
    }

    fn owner(&self) -> &str {
        "flow"
    }

    fn lifetime(&self) -> Lifetime {
        match self.kind {
            Kind::Memory => Lifetime::Process,
            Kind::File | Kind::Redis => Lifetime::Beyond("flow".to_owned()),
        }
    }

    fn shared(&self) -> Option<&dyn Shared> {
        (self.kind == Kind::Redis).then_some(self as &dyn Shared)
    }

    async fn close(&self) {
        self.log.note(Did::CloseStore);
    }
}

#[async_trait]
impl Shared for ScriptedStore {
    async fn renew(&self) -> Result<Renewal, StoreError> {
        let renewal = self.renewals.next().await;
        renewal.unwrap_or_else(|| Ok(Renewal::default()))
    }

    async fn is_anyone_silent(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn reassert(&self, _record: &Record) -> Result<Ownership, StoreError> {
        let ownership = self.ownerships.next().await;
        ownership.unwrap_or(Ok(Ownership::Ours))
    }

    async fn route_of(&self, _id: TaskId) -> Result<Option<String>, StoreError> {
        self.routes.next().await.unwrap_or(Ok(None))
    }

    async fn is_elsewhere(&self, _id: TaskId) -> Result<bool, StoreError> {
        self.elsewhere.next().await.unwrap_or(Ok(false))
    }

    async fn claim(&self, _id: TaskId) -> Result<Claim, StoreError> {
        self.log.note(Did::Claim);
        self.claims.next().await.unwrap_or(Ok(Claim::Unknown))
    }

    async fn has_tasks(&self) -> Result<bool, StoreError> {
        Ok(!self.is_empty.load(Ordering::Relaxed))
    }

    async fn tell_queue_lost(
        &self,
        queue: &str,
        missing_at: SystemTime,
        ready: Option<usize>,
    ) -> Result<(), StoreError> {
        self.tells.next().await.unwrap_or(Ok(()))?;
        self.told.lock().push((missing_at, ready));
        self.log.note(Did::ToldQueueLost(queue.to_owned()));
        Ok(())
    }

    async fn forward(&self, _id: TaskId, details: &str) -> Result<Forwarded, StoreError> {
        self.log.note(Did::Forward(details.to_owned()));
        self.forwards.next().await.unwrap_or(Ok(Forwarded::Unknown))
    }
}
