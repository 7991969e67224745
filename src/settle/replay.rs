//! Replays a parked reply: reads it once more, as if its worker had sent it now.
//!
//! One rule: only the settlement that the replay itself began, once AWS has accepted the outcome or has closed the task, deletes the
//! message. So a crash on the way loses nothing. Its publisher's rights are those that it had when the reply was parked.

use super::{parked_as, parse::is_sign, replies};
use crate::{
    broker::{Acknowledge, Delivery, Inbound, Receipt, names::is_of_parked},
    context::Bridge,
    inflight::{Progress, Standing},
    task::{SettleEnd, TaskId},
    util::supervise::catch,
};
use async_trait::async_trait;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};

/// What became of a parked message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParkedResult {
    /// AWS has what it says, or has closed the task. It is parked no more.
    Replayed,
    /// It is deleted.
    Dropped,
    /// Its task has ended. It stays parked.
    Ended,
    /// Another outcome of its task is on its way to AWS. It stays parked.
    Settling,
    /// Another process, which may be alive, has its task. It stays parked.
    Elsewhere,
    /// This bridge has no such task. It stays parked.
    Unknown,
    /// It can't be used. It stays parked.
    Unusable,
    /// AWS did not take what it says, or its deadline has passed. It stays parked.
    Refused,
    /// It is a sign of life, which says nothing later. It stays parked.
    Sign,
    /// It is a dead letter, an outcome that AWS did not take, or of an older version. It stays parked.
    NoReply,
    /// AWS, or the token store, has not answered yet. A settlement that has begun goes on. It stays parked.
    Waiting,
    /// A consumer of the queue has it meanwhile, or the connection to the broker has ended. It may be parked still.
    Taken,
}

/// Replays a parked reply, and waits for its end at most this long. The receipt is still to be acknowledged if the result is
/// [`ParkedResult::Replayed`]. The text says why a reply is unusable or refused.
pub async fn replay(
    bridge: &Arc<Bridge>,
    parked: Delivery,
    wait: Duration,
) -> (ParkedResult, Option<String>, Receipt) {
    let mut reply = Delivery {
        queues: parked_as::queues(&parked),
        may_be_copied: false,
        ..parked
    };
    let id = match examine(bridge, &reply) {
        Ok(id) => id,
        Err(result) => return (result, None, reply.receipt),
    };
    if let Err(result) = is_free(bridge, id, wait).await {
        return (result, None, reply.receipt);
    }
    let (ended, end) = oneshot::channel();
    let receipt = Receipt::new(Replay {
        ended: Mutex::new(Some(ended)),
        is_taken: AtomicBool::default(),
        because: Mutex::default(),
    });
    reply.headers.retain(|(name, _)| !is_of_parked(name));
    let kept = std::mem::replace(&mut reply.receipt, receipt);
    replies::handle(bridge, Inbound::Reply(reply));
    match timeout(wait, end).await {
        Ok(Ok(End::Taken)) => (ParkedResult::Replayed, None, kept),
        Ok(Ok(End::Refused(because))) => (ParkedResult::Refused, Some(because), kept),
        // A worker's own reply came before or meanwhile, and the broker keeps that one instead.
        Ok(Ok(End::Late)) if is_settling(bridge, id) => (ParkedResult::Settling, None, kept),
        Ok(Ok(End::Late)) => (ParkedResult::Ended, None, kept),
        Ok(Ok(End::Unusable(because))) => (ParkedResult::Unusable, Some(because), kept),
        Ok(Ok(End::Left)) => (ParkedResult::Unknown, None, kept),
        Ok(Err(_)) | Err(_) => (ParkedResult::Waiting, None, kept),
    }
}

/// The task of a parked reply. An error says why the message is not replayed.
fn examine(bridge: &Bridge, reply: &Delivery) -> Result<TaskId, ParkedResult> {
    if !parked_as::is_reply(reply) {
        return Err(ParkedResult::NoReply);
    }
    // The worker that sent it may be dead by now.
    if catch(|| is_sign(reply)) == Ok(true) {
        return Err(ParkedResult::Sign);
    }
    let id = reply.correlation_id.as_deref();
    let Some(Ok(id)) = id.map(TaskId::from_correlation_id) else {
        return Err(ParkedResult::Unknown);
    };
    match bridge.inflight.standing(id) {
        Standing::Open(_) if is_settling(bridge, id) => Err(ParkedResult::Settling),
        Standing::Open(_) => Ok(id),
        Standing::Ended => Err(ParkedResult::Ended),
        // Another process may have it.
        Standing::Unknown if bridge.store.shared().is_some() => Ok(id),
        Standing::Unknown => Err(ParkedResult::Unknown),
    }
}

/// Waits until it is known that no other process has the task that may be settling it.
async fn is_free(bridge: &Bridge, id: TaskId, wait: Duration) -> Result<(), ParkedResult> {
    let Some(shared) = bridge.store.shared() else {
        return Ok(());
    };
    if let Standing::Open(_) = bridge.inflight.standing(id) {
        return Ok(());
    }
    match timeout(wait, shared.is_elsewhere(id)).await {
        Ok(Ok(false)) => Ok(()),
        Ok(Ok(true)) => Err(ParkedResult::Elsewhere),
        Ok(Err(_)) | Err(_) => Err(ParkedResult::Waiting),
    }
}

fn is_settling(bridge: &Bridge, id: TaskId) -> bool {
    bridge.inflight.progress(id) == Some(Progress::Settling)
}

/// How a replay has ended.
enum End {
    /// The settlement that it began has ended, and AWS has the outcome or has closed the task.
    Taken,
    /// AWS did not take it, for this reason.
    Refused(String),
    /// It began no settlement, because its task has ended or is being settled.
    Late,
    /// It can't be used, for this reason.
    Unusable(String),
    /// Nobody here takes it.
    Left,
}

/// The receipt of a reply that is replayed. It tells its end to whoever waits for it.
struct Replay {
    ended: Mutex<Option<oneshot::Sender<End>>>,
    is_taken: AtomicBool,
    because: Mutex<Option<String>>,
}

impl Replay {
    fn end(&self, end: End) {
        if let Some(ended) = self.ended.lock().take() {
            drop(ended.send(end));
        }
    }
}

#[async_trait]
impl Acknowledge for Replay {
    /// False once nobody waits for its end.
    fn is_usable(&self) -> bool {
        let ended = self.ended.lock();
        ended.as_ref().is_some_and(|ended| !ended.is_closed())
    }

    async fn ack(&self) -> bool {
        let because = self.because.lock().take();
        self.end(match because {
            Some(because) => End::Refused(because),
            None if self.is_taken.load(Relaxed) => End::Taken,
            None => End::Late,
        });
        true
    }

    async fn requeue(&self) {
        let because = self.because.lock().take();
        self.end(because.map_or(End::Left, End::Unusable));
    }

    fn settled(&self, end: SettleEnd) {
        let is_taken = matches!(end, SettleEnd::Accepted | SettleEnd::Gone);
        self.is_taken.store(is_taken, Relaxed);
    }

    fn is_parked(&self) -> bool {
        true
    }

    fn stays_parked(&self, because: &str) -> bool {
        *self.because.lock() = Some(because.to_owned());
        true
    }
}
