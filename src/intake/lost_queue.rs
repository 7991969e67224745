//! Publishes tasks again whose queue the broker has lost: its volume is gone, or somebody deleted the queue.
//!
//! The broker tells which queue is missing. The messages that were in it are gone, and nobody would ever begin their tasks. A task
//! that a worker has begun is left alone.

use super::recovery;
use crate::{
    context::Bridge,
    inflight::LostQueue,
    store::StoreError,
    util::{
        Backoff,
        crash_point::{CrashPoint, crash_point},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tracing::{debug, warn};

/// Time for which it is tried again to tell the other processes. By then they are back, or their tasks are adopted.
const TELL_TIME: Duration = Duration::from_secs(60);

/// Handles every queue that is lost, for the life of the process.
pub async fn run(bridge: Arc<Bridge>) {
    loop {
        crash_point(CrashPoint::LostQueueLoop);
        let found = bridge.lost_queues.next().await;
        bridge.ownership.wait().await;
        let others_publish = bridge.store.shared().is_some();
        // The store must know of these too before the queue is made again.
        let under_way = bridge.inflight.being_republished(&found.queue);
        let lost = bridge.inflight.on_queue_lost(&found, others_publish);
        let (queue, tasks) = (&found.queue, lost.len());
        match tasks {
            0 => debug!(queue, "a queue was missing, and no task waits in it"),
            _ => warn!(
                queue,
                tasks,
                "the broker has lost a queue, or replies to its tasks; publishing the tasks again that no worker has begun"
            ),
        }
        if tasks == 0 && under_way.is_empty() && has_no_tasks(&bridge).await {
            bridge.lost_queues.was_unused(&found);
        }
        let (told, telling) = oneshot::channel();
        let others = Arc::clone(&bridge);
        recovery::republish_lost(&bridge, lost, under_way, move |is_noted| async move {
            tell(others, found, is_noted).await;
            // The loop may have ended.
            let _ = told.send(());
        });
        // Whoever finds the queue missing meanwhile finds no task that is not being noted. The queue must not be made again
        // before. The loop goes on if the publication has panicked.
        let _ = telling.await;
    }
}

/// Whether it is certain that no process has a task. This process may own tasks that it does not know of yet.
async fn has_no_tasks(bridge: &Bridge) -> bool {
    match bridge.store.shared() {
        Some(shared) => matches!(shared.has_tasks().await, Ok(false)),
        None => false,
    }
}

/// Tells the processes that share the store, because only the first that looks finds the queue missing. Then tells the broker's
/// client that it may declare the queue, if the store has noted the loss. Otherwise the client looks again later.
async fn tell(bridge: Arc<Bridge>, mut found: LostQueue, is_noted: bool) {
    let until = Instant::now() + TELL_TIME;
    let noted = std::mem::take(&mut found.noted);
    let mut told = tell_others(&bridge, &found).await;
    if is_noted {
        for noted in noted {
            // The client may have stopped waiting.
            let _ = noted.send(());
        }
    }
    if told.is_ok() {
        return;
    }
    let supervisor = bridge.supervisor.clone();
    supervisor.spawn("the news of a lost queue", async move {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        while let Err(error) = told {
            if Instant::now() >= until {
                let queue = found.queue;
                warn!(queue, %error, "could not tell the other processes that the broker has lost a queue");
                return;
            }
            sleep(backoff.next_wait()).await;
            told = tell_others(&bridge, &found).await;
        }
    });
}

async fn tell_others(bridge: &Bridge, found: &LostQueue) -> Result<(), StoreError> {
    match (bridge.store.shared(), found.own_finding) {
        (Some(shared), Some(missing_at)) => {
            let LostQueue { queue, ready, .. } = found;
            shared.tell_queue_lost(queue, missing_at, *ready).await
        }
        _ => Ok(()),
    }
}
