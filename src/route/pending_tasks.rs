//! How many tasks of a route wait at AWS: AWS's last answer, and when to ask again.
//!
//! AWS is asked only while somebody wants to know it, and seldom, because it allows an account few of these calls. Tasks that
//! were polled after the answer no longer wait, so they are taken off. An answer that is too old is unknown, and never 0.

use crate::{
    source::{PendingTasks, Source, SourceError},
    util::{Backoff, jittered},
};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Minimum interval between two questions.
const MIN_INTERVAL: Duration = Duration::from_secs(15);

/// Maximum of a random time on top of it, so that processes do not ask together.
const JITTER: Duration = Duration::from_secs(5);

/// First and maximum wait after a failed question. The back-off takes at least half.
const RETRY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(480));

/// Timeout for a question. KEDA waits for 3 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum age of an answer.
const MAX_AGE: Duration = Duration::from_secs(90);

/// How many tasks wait at AWS for a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingAtAws {
    /// AWS has told it lately.
    Known {
        /// The tasks that AWS counted, without those that this process has polled since.
        count: u64,
        /// Whether there are more than AWS counts.
        truncated: bool,
        /// The age of AWS's answer.
        age: Duration,
    },
    /// It is not known, for this reason.
    Unknown(String),
}

/// See the module.
#[derive(Debug)]
pub(super) struct PendingCache {
    /// Held during a question, so that AWS is not asked twice.
    asking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    answer: Option<Answer>,
    /// Why there is no newer answer.
    why: String,
    /// No question is asked before this time.
    not_before: Option<Instant>,
    backoff: Backoff,
}

#[derive(Debug)]
struct Answer {
    tasks: PendingTasks,
    at: Instant,
    /// The number of tasks that this process had polled when it asked.
    polled: u64,
}

impl Default for PendingCache {
    fn default() -> Self {
        Self {
            asking: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                answer: None,
                why: "AWS has not been asked yet".to_owned(),
                not_before: None,
                backoff: Backoff::new(RETRY.0, RETRY.1),
            }),
        }
    }
}

impl PendingCache {
    /// Asks AWS if it is time to. `polled` says how many tasks this process has polled.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses the answer to its question. The next question is asked after the usual interval.
    pub(super) async fn refresh(&self, source: &dyn Source, polled: impl Fn() -> u64) {
        let _asking = self.asking.lock().await;
        if !self.state.lock().begin(Instant::now()) {
            return;
        }
        // A task that is polled during the question may be in the answer or not. It is taken off, and counts as in flight.
        let polled = polled();
        let late = |_| Err(SourceError::Unavailable("no answer in time".to_owned()));
        let answer = timeout(CALL_TIMEOUT, source.pending())
            .await
            .unwrap_or_else(late);
        self.state.lock().note(answer, polled, Instant::now());
    }

    /// When the next question may be asked; `None` if none was asked yet.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.state.lock().not_before
    }

    /// What is known now. `polled` is the number of tasks that this process has polled.
    pub(super) fn now(&self, polled: u64) -> PendingAtAws {
        let state = self.state.lock();
        let recent = |answer: &&Answer| answer.at.elapsed() <= MAX_AGE;
        match state.answer.as_ref().filter(recent) {
            Some(answer) => PendingAtAws::Known {
                count: (answer.tasks.count).saturating_sub(polled.saturating_sub(answer.polled)),
                truncated: answer.tasks.truncated,
                age: answer.at.elapsed(),
            },
            None => PendingAtAws::Unknown(state.why.clone()),
        }
    }
}

impl State {
    /// Whether to ask now. The next question waits, even if nobody notes the answer to this one.
    fn begin(&mut self, now: Instant) -> bool {
        if self.not_before.is_some_and(|at| now < at) {
            return false;
        }
        self.not_before = Some(now + MIN_INTERVAL + jittered(JITTER));
        true
    }

    fn note(
        &mut self,
        answer: Result<Option<PendingTasks>, SourceError>,
        polled: u64,
        now: Instant,
    ) {
        match answer {
            Ok(Some(tasks)) => {
                self.backoff.reset();
                self.answer = Some(Answer {
                    tasks,
                    at: now,
                    polled,
                });
                self.why = "AWS has not been asked for a while".to_owned();
            }
            Ok(None) => self.why = "AWS has no call that tells it".to_owned(),
            Err(error) => {
                let next = now + self.backoff.next_wait();
                self.not_before = self.not_before.max(Some(next));
                self.why = error.to_string();
            }
        }
    }
}
