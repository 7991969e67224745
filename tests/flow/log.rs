//! What the bridge did, in its order, and when.

use activity_bridge::{
    broker::Announcement,
    task::{OutcomeKind, Status, TaskId},
};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// One thing that the bridge did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    /// Began a poll.
    Poll,
    /// Asked for the timeouts of a task.
    AskForTimeouts,
    /// Asked how many tasks wait at AWS.
    CountPending,
    /// Has the task in the store.
    Recorded,
    /// Handed a message to the broker.
    Publish,
    /// Noted the confirm in the store.
    NotedConfirm,
    /// Noted in the store that the broker has lost a message.
    NotedLoss,
    /// Told other processes that this queue is lost.
    ToldQueueLost(String),
    /// Sent a heartbeat with these details.
    Beat(String),
    /// Sent an outcome.
    Settle(OutcomeKind),
    /// Has AWS's yes to an outcome.
    Accepted(OutcomeKind),
    /// Acknowledged the reply of this number.
    Ack(usize),
    /// Put the reply of this number back.
    Requeue(usize),
    /// Put a copy of a reply at the end of the queue.
    PutBack,
    /// Parked a message, for this reason.
    Park(String),
    /// Deleted a parked message.
    Unpark,
    /// Announced this.
    Announce(Announcement),
    /// Answered a sign of life.
    Answer(Status),
    /// Removed the record.
    Removed,
    /// Handed a sign of life to another process.
    Forward(String),
    /// Claimed a task.
    Claim,
    /// Kept an outcome in the store.
    KeptOutcome,
    /// Withdrew this task's message.
    Withdraw(TaskId),
    /// Told the broker that so many tasks are in flight.
    ExpectReplies(usize),
    /// Closed the broker; true: it expects replies.
    CloseBroker(bool),
    /// Closed the store.
    CloseStore,
}

/// See the module.
pub struct Log {
    start: Instant,
    entries: Mutex<Vec<(Duration, Did)>>,
    grown: Notify,
}

impl Log {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            entries: Mutex::default(),
            grown: Notify::new(),
        }
    }

    /// The time since the start.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn note(&self, did: Did) {
        self.entries.lock().push((self.now(), did));
        self.grown.notify_waiters();
    }

    /// When it was done, each time.
    pub fn times(&self, wanted: impl Fn(&Did) -> bool) -> Vec<Duration> {
        let entries = self.entries.lock();
        let found = entries.iter().filter(|(_, did)| wanted(did));
        found.map(|(at, _)| *at).collect()
    }

    pub fn count(&self, did: &Did) -> usize {
        self.times(|other| other == did).len()
    }

    /// Heartbeats.
    pub fn beats(&self) -> Vec<Duration> {
        self.times(|did| matches!(did, Did::Beat(_)))
    }

    /// Outcomes sent.
    pub fn settles(&self) -> usize {
        self.times(|did| matches!(did, Did::Settle(_))).len()
    }

    /// Parked messages.
    pub fn parked(&self) -> usize {
        self.times(|did| matches!(did, Did::Park(_))).len()
    }

    /// Asserts that these were done in this order, whatever was done between.
    #[track_caller]
    pub fn assert_order(&self, wanted: &[Did]) {
        let entries = self.entries.lock();
        let mut rest = entries.iter();
        for did in wanted {
            let found = rest.any(|(_, other)| other == did);
            assert!(found, "no {did:?} in its place: {entries:#?}");
        }
    }

    /// Waits until it was done; says when.
    pub async fn wait_for(&self, did: Did) -> Duration {
        self.wait_until(&did, |other| *other == did).await
    }

    /// Waits until this was done for the first time; says when.
    pub async fn wait_until(&self, what: &Did, wanted: impl Fn(&Did) -> bool) -> Duration {
        let done = async {
            loop {
                let grown = self.grown.notified();
                if let Some(at) = self.times(&wanted).first() {
                    return *at;
                }
                grown.await;
            }
        };
        // On the paused clock, which every loop that waits lets pass.
        match timeout(Duration::from_secs(3_600), done).await {
            Ok(at) => at,
            Err(_) => panic!("no {what:?} within an hour: {:#?}", self.entries.lock()),
        }
    }
}
