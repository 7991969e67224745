//! `activity-bridge release`: does for tasks that wait for a worker what a person asks for. Publishes them again, or fails them
//! back to AWS. `activity-bridge fail` also fails a task that a worker has begun.
//!
//! Only a person can say that somebody took messages out of a queue of RabbitMQ. A release leaves a task alone that a worker has
//! begun, because that worker may still answer.

use super::{
    publish::spawn_settlement,
    recovery::{self, Unpublished},
};
use crate::{
    broker::{Announcement, Durability},
    context::Bridge,
    inflight::{Listed, Progress, TaskHandle},
    settle::{notify, settle},
    store::StoreError,
    task::{Outcome, OwnFailure, TaskId},
    util::supervise::catch_async,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tracing::{debug, info};

/// Maximum number of tasks whose messages are read at once.
const MAX_CONCURRENT_READS: usize = 10;

/// Maximum time for which the broker, or AWS, is awaited. The bridge goes on afterwards, and nobody waits for it.
const RESULT_TIMEOUT: Duration = Duration::from_secs(15);

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Remedy {
    /// Publish the tasks again.
    Publish,
    /// Fail the tasks back to AWS, with this reason, unless a worker has begun them.
    Fail(String),
    /// Fail the tasks back to AWS, with this reason, begun or not. A worker that has one is told that it is gone.
    End(String),
}

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseResult {
    /// The broker has confirmed its message once more.
    Published,
    /// The task is failed back to AWS.
    Failed,
    /// The bridge is the broker, and no worker has the task.
    Queued,
    /// The broker has not confirmed its message. The bridge goes on publishing it.
    Publishing,
    /// AWS has not taken the failure. The bridge goes on.
    Failing,
    /// The bridge has no copy of its message that it can read. The task waits as before.
    NoCopy,
    /// The token store can't be asked for its message. The task waits as before.
    StoreAway,
    /// A worker has begun. The task is left alone.
    Begun,
    /// Its outcome was on its way to AWS already.
    Settling,
    /// The task has ended meanwhile.
    Ended,
}

/// Does what a person asks for these tasks. Returns what became of each, in their order.
pub async fn release(
    bridge: &Arc<Bridge>,
    tasks: &[Listed],
    remedy: &Remedy,
) -> Vec<ReleaseResult> {
    match (remedy, tasks) {
        (Remedy::End(reason), [task]) => {
            info!(route = task.route.name(), task = %task.id, progress = %task.progress, reason, "a person fails a task");
        }
        _ => info!(
            tasks = tasks.len(),
            ?remedy,
            "a person releases tasks that wait for a worker"
        ),
    }
    bridge.ownership.wait().await;
    match remedy {
        Remedy::Publish => publish(bridge, tasks).await,
        Remedy::Fail(reason) | Remedy::End(reason) => {
            let ends = matches!(remedy, Remedy::End(_));
            fail(bridge, tasks, reason, ends).await
        }
    }
}

async fn publish(bridge: &Arc<Bridge>, tasks: &[Listed]) -> Vec<ReleaseResult> {
    let store_away = AtomicBool::new(false);
    let mut results = Vec::with_capacity(tasks.len());
    for some in tasks.chunks(MAX_CONCURRENT_READS) {
        let examined = some.iter().map(|task| examine(bridge, task, &store_away));
        results.extend(join_all(examined).await);
    }
    let mut lost = Unpublished::new();
    for (task, result) in tasks.iter().zip(&results) {
        if *result == ReleaseResult::Published {
            lost.push((Arc::clone(&task.route), task.id));
        }
    }
    // A task is failed back after `publish_within`. Until then, one that is no longer to be published has been confirmed.
    let within = lost
        .iter()
        .map(|(route, _)| route.config.publish_within / 2);
    let within = within.fold(RESULT_TIMEOUT, Duration::min);
    let began = Instant::now();
    let publishing = recovery::republish_lost(bridge, lost, Vec::new(), |_| async {});
    drop(timeout_at(began + within, publishing).await);
    for (task, result) in tasks.iter().zip(&mut results) {
        let is_published = bridge.inflight.is_published_since(task.id, began);
        if *result == ReleaseResult::Published && !is_published {
            *result = now(bridge, task.id);
        }
    }
    results
}

/// Prepares a task to be published again. `Published` means that it must be published now.
async fn examine(bridge: &Bridge, task: &Listed, store_away: &AtomicBool) -> ReleaseResult {
    if task.progress != Progress::Waiting {
        return standing(task.progress);
    }
    // Where the broker keeps no messages, it tells what becomes of each, and loses none.
    if bridge.broker.durability() == Durability::Process {
        return ReleaseResult::Queued;
    }
    // A store that can be read and not written could not note the loss, and the task would be failed back.
    if store_away.load(Relaxed) || bridge.store.unavailable().is_some() {
        return ReleaseResult::StoreAway;
    }
    // Another version may have written what can't be read.
    let prepared = catch_async(prepare(bridge, task.id)).await;
    match prepared {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => {
            debug!(task = %task.id, %error, "the message of a task can't be read");
            store_away.store(true, Relaxed);
            ReleaseResult::StoreAway
        }
        Err(_) => ReleaseResult::NoCopy,
    }
}

async fn prepare(bridge: &Bridge, id: TaskId) -> Result<ReleaseResult, StoreError> {
    // The store notes the loss later, and only of a task that is published again. The next start would publish the others, or
    // fail them.
    match bridge.store.copy(id).await {
        Ok(Some(_)) if bridge.inflight.on_message_lost(id) => Ok(ReleaseResult::Published),
        Ok(_) => Ok(now(bridge, id)),
        Err(StoreError::NoMessage | StoreError::Unreadable(_)) => Ok(ReleaseResult::NoCopy),
        Err(error) => Err(error),
    }
}

/// `ends`: also those that a worker has begun.
async fn fail(
    bridge: &Arc<Bridge>,
    tasks: &[Listed],
    reason: &str,
    ends: bool,
) -> Vec<ReleaseResult> {
    let end = Instant::now() + RESULT_TIMEOUT;
    let settling = tasks.iter().map(|task| {
        let handle = match ends {
            true => bridge.inflight.give_up(task.id)?,
            false => bridge.inflight.give_up_unstarted(task.id)?,
        };
        debug!(route = task.route.name(), task = %task.id, reason, "failing a task back to AWS");
        let outcome = Outcome::failed(OwnFailure::FailedByOperator, reason);
        Some(match ends {
            true => spawn_end(bridge, handle, outcome),
            false => spawn_settlement(bridge, handle, outcome),
        })
    });
    let settling: Vec<_> = settling.collect();
    let mut results = Vec::with_capacity(tasks.len());
    for (task, settling) in tasks.iter().zip(settling) {
        results.push(match settling {
            None => now(bridge, task.id),
            Some(settling) => match timeout_at(end, settling).await {
                Ok(_) => ReleaseResult::Failed,
                Err(_) => ReleaseResult::Failing,
            },
        });
    }
    results
}

/// Settles a task, and then tells its worker that it is gone. Before AWS has the outcome the worker is not told: if the bridge dies on
/// the way, the task may go on.
fn spawn_end(bridge: &Arc<Bridge>, handle: TaskHandle, outcome: Outcome) -> JoinHandle<()> {
    let (bridge, id) = (Arc::clone(bridge), handle.id);
    let supervisor = bridge.supervisor.clone();
    supervisor.clone().spawn("a settlement", async move {
        settle(Arc::clone(&bridge), handle, outcome).await;
        // It may take long while the broker is away. Nobody waits for it.
        supervisor.spawn("the announcement of a cancel", async move {
            notify::announce(&bridge, id, Announcement::Gone).await;
        });
    })
}

/// What is to be said of a task that is not as it was when a person asked.
fn now(bridge: &Bridge, id: TaskId) -> ReleaseResult {
    match bridge.inflight.progress(id) {
        // The store knows it first: another process has read the worker's sign of life.
        Some(Progress::Waiting) => ReleaseResult::Begun,
        Some(progress) => standing(progress),
        None => ReleaseResult::Ended,
    }
}

fn standing(progress: Progress) -> ReleaseResult {
    match progress {
        Progress::Waiting | Progress::Working => ReleaseResult::Begun,
        Progress::Publishing => ReleaseResult::Publishing,
        Progress::Settling => ReleaseResult::Settling,
    }
}
