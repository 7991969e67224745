//! A source that does what the test says.

use super::{
    log::{Did, Log},
    script::Script,
};
use activity_bridge::{
    source::{
        CancelRequested, Discovered, PendingTasks, Source, SourceError, Unfit,
        rate_limit::RateLimiter,
    },
    task::{HeaderValue, Outcome, SourceKind, Task, TaskToken, Timeouts},
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Details over which it panics.
pub const POISON: &str = "poison";

pub struct ScriptedSource {
    log: Arc<Log>,
    pub rate_limiter: RateLimiter,
    pub polls: Script<Result<Option<Task>, SourceError>>,
    pub beats: Script<Result<CancelRequested, SourceError>>,
    pub settles: Script<Result<(), SourceError>>,
    /// Every outcome that was sent.
    pub outcomes: Mutex<Vec<Outcome>>,
    /// Whether every result is too long.
    pub too_long: AtomicBool,
    /// What heartbeats are told.
    pub cancel: AtomicBool,
    /// Where set, a task is gone for which AWS has heard of nothing for so long.
    pub times_out: Mutex<Option<(Duration, Instant)>>,
    /// The time that passes between a heartbeat and its answer. AWS has it only when it answers.
    pub beat_takes: Mutex<Duration>,
    /// The timeouts of every task, where they are learnt.
    pub learnt: Mutex<Option<Timeouts>>,
    /// The route whose source can't be made.
    pub panics_for: Mutex<Option<String>>,
    /// Answers to questions for timeouts, before those of `learnt`.
    pub discoveries: Script<Discovered>,
    /// Answers to questions for waiting tasks, before the number in `waiting`.
    pub pendings: Script<Result<Option<PendingTasks>, SourceError>>,
    /// The tasks that wait at AWS.
    pub waiting: Mutex<u64>,
}

impl ScriptedSource {
    /// It accepts everything. An empty poll is held for 60 s.
    pub fn new(log: Arc<Log>) -> Self {
        Self {
            log,
            rate_limiter: RateLimiter::new(),
            polls: Script::default(),
            beats: Script::default(),
            settles: Script::default(),
            outcomes: Mutex::default(),
            too_long: AtomicBool::new(false),
            cancel: AtomicBool::new(false),
            times_out: Mutex::default(),
            beat_takes: Mutex::default(),
            learnt: Mutex::default(),
            panics_for: Mutex::default(),
            discoveries: Script::default(),
            pendings: Script::default(),
            waiting: Mutex::default(),
        }
    }

    /// From now on a task times out after this time without a heartbeat.
    pub fn time_out_after(&self, limit: Duration) {
        *self.times_out.lock() = Some((limit, Instant::now()));
    }

    fn hear(&self) -> Result<CancelRequested, SourceError> {
        if let Some((limit, heard)) = &mut *self.times_out.lock() {
            if heard.elapsed() >= *limit {
                return Err(SourceError::Gone("timed out".to_owned()));
            }
            *heard = Instant::now();
        }
        Ok(CancelRequested(self.cancel.load(Relaxed)))
    }
}

#[async_trait]
impl Source for ScriptedSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Swf
    }

    fn headers(&self) -> Vec<(&'static str, HeaderValue)> {
        Vec::new()
    }

    fn rate_limiter(&self) -> &RateLimiter {
        &self.rate_limiter
    }

    async fn timeouts(&self, task: &Task) -> Discovered {
        self.log.note(Did::AskForTimeouts);
        if let Some(answer) = self.discoveries.next().await {
            return answer;
        }
        Discovered::all(self.learnt.lock().unwrap_or(task.timeouts))
    }

    async fn poll(&self) -> Result<Option<Task>, SourceError> {
        self.log.note(Did::Poll);
        if let Some(answer) = self.polls.next().await {
            return answer;
        }
        sleep(Duration::from_secs(60)).await;
        Ok(None)
    }

    /// A task with more than 1,000 bytes.
    fn oversize(&self, task: &Task) -> Option<String> {
        let oversize = task.input.text().len() > 1_000;
        oversize.then(|| "its input is too large".to_owned())
    }

    fn busy_within(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn heartbeat(
        &self,
        _token: &TaskToken,
        details: &str,
    ) -> Result<CancelRequested, SourceError> {
        self.log.note(Did::Beat(details.to_owned()));
        if let Some(answer) = self.beats.next().await {
            return answer;
        }
        let takes = *self.beat_takes.lock();
        if !takes.is_zero() {
            sleep(takes).await;
        }
        self.hear()
    }

    async fn settle(&self, _token: &TaskToken, outcome: &Outcome) -> Result<(), SourceError> {
        let kind = outcome.kind();
        self.log.note(Did::Settle(kind));
        self.outcomes.lock().push(outcome.clone());
        let answer = self.settles.next().await.unwrap_or(Ok(()));
        if answer.is_ok() {
            self.log.note(Did::Accepted(kind));
        }
        answer
    }

    fn result<'b>(&self, body: &'b str) -> Result<Cow<'b, str>, Unfit> {
        match self.too_long.load(Relaxed) {
            true => Err(Unfit::TooLong("it is too long".to_owned())),
            false => Ok(Cow::Borrowed(body)),
        }
    }

    fn fit(&self, outcome: Outcome) -> Outcome {
        outcome
    }

    fn fit_details(&self, details: &str) -> String {
        assert_ne!(details, POISON, "as the test wants it");
        details.to_owned()
    }

    async fn pending(&self) -> Result<Option<PendingTasks>, SourceError> {
        self.log.note(Did::CountPending);
        if let Some(answer) = self.pendings.next().await {
            return answer;
        }
        Ok(Some(PendingTasks {
            count: *self.waiting.lock(),
            truncated: false,
        }))
    }

    fn place(&self) -> &'static str {
        "task list"
    }

    async fn probe(&self) -> Result<String, SourceError> {
        Ok(String::new())
    }

    fn probe_action(&self) -> &'static str {
        "swf:CountPendingActivityTasks"
    }
}
