//! What becomes of a task's deliveries, told by a broker that keeps no messages: notes it in the store, completes a task that a
//! worker has acknowledged, and ends a canceled task that nobody holds.

use super::{
    outcome,
    owner::{self, ReplyOwner},
};
use crate::{
    broker::Durability,
    context::Bridge,
    inflight::{Standing, deliveries::BareAck},
    metrics::DeliveryEvent,
    store::{Note, Shared},
    task::{Outcome, TaskId},
    util::Backoff,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// Timeout for finding the owner of an acknowledged task of another process. After it the owner delivers the task to a worker of
/// its own.
const OWNER_TIMEOUT: Duration = Duration::from_secs(60);

/// A worker has the task. Until the end of the delivery is known, the store counts it as failed, because this process may be
/// killed meanwhile.
pub fn delivered(bridge: &Bridge, id: TaskId, failed: u32) {
    if bridge.inflight.on_delivered(id, failed) {
        let note = Note::FailedDeliveries(failed.saturating_add(1));
        bridge.store.note(id, note);
    }
}

/// The task waits for a worker again.
pub fn came_back(bridge: &Arc<Bridge>, id: TaskId, failed: u32) {
    if bridge.inflight.on_came_back(id, failed) {
        bridge.store.note(id, Note::FailedDeliveries(failed));
        let supervisor = &bridge.supervisor;
        let bridge = Arc::clone(bridge);
        supervisor.spawn("the end of a canceled task", async move {
            end_canceled(&bridge, id).await;
        });
    }
}

/// A worker has begun for good.
pub fn released(bridge: &Bridge, id: TaskId) {
    if bridge.inflight.on_released(id) {
        bridge.store.note(id, Note::Released);
    }
}

/// The task's message is dropped, and the route does not fail such a task. Nobody has the task, so the bridge sends no more
/// heartbeats for a worker, and AWS times the task out.
pub fn dropped(bridge: &Bridge, id: TaskId) {
    if bridge.broker.durability() == Durability::Process {
        released(bridge, id);
        bridge.inflight.on_abandoned(id);
    }
}

/// A worker has acknowledged the task's message and has said nothing more: the task is completed.
pub fn acknowledged(bridge: &Arc<Bridge>, id: TaskId) {
    if bridge.store.shared().is_some()
        && let Standing::Unknown = bridge.inflight.standing(id)
    {
        let supervisor = &bridge.supervisor;
        let bridge = Arc::clone(bridge);
        supervisor.spawn("an acknowledgement of another process's task", async move {
            if let Some(shared) = bridge.store.shared() {
                claim(&bridge, shared, id).await;
            }
        });
        return;
    }
    complete(bridge, id);
}

/// A worker of this route acknowledges before it has finished. `releases`: so acknowledgements settle nothing any more, for any
/// route to the same queue.
pub fn early_ack(bridge: &Bridge, route: &str, releases: bool) {
    let Some(route) = bridge.route(route) else {
        return;
    };
    route.metrics.early_acks.inc();
    let queue = route.config.destination.queue();
    for other in bridge.routes.all().iter() {
        if other.config.destination.queue() == queue {
            other.note_early_ack(releases);
        }
    }
}

fn complete(bridge: &Arc<Bridge>, id: TaskId) {
    match bridge.inflight.on_acknowledged(id) {
        BareAck::Settle(handle) => {
            let route = &handle.route;
            debug!(route = route.name(), task = %id, "acknowledged without a reply; completing it");
            route.metrics.delivery(DeliveryEvent::Acknowledged);
            let result = route.config.ack.result.clone().unwrap_or_default();
            let settling =
                outcome::settle(Arc::clone(bridge), handle, Outcome::Completed { result });
            bridge.supervisor.spawn("a settlement", settling);
        }
        BareAck::Release => {
            warn!(task = %id, "a worker that has sent a sign of life acknowledged its task without a final reply; the task waits for that reply");
            bridge.store.note(id, Note::Released);
        }
        BareAck::Nothing => {
            debug!(task = %id, "an acknowledgement of a task that has ended or is being settled");
        }
    }
}

/// Claims an acknowledged task of another process, and completes it.
async fn claim(bridge: &Arc<Bridge>, shared: &dyn Shared, id: TaskId) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let located = timeout(OWNER_TIMEOUT, async {
        loop {
            match owner::locate(bridge, shared, id, None).await {
                Ok(owner) => return owner,
                Err(error) => {
                    debug!(task = %id, %error, "could not ask the store for the owner of a task; trying again");
                    sleep(backoff.next_wait()).await;
                }
            }
        }
    });
    match located.await {
        Ok(ReplyOwner::Here) => complete(bridge, id),
        Ok(
            ReplyOwner::Forwarded(_)
            | ReplyOwner::OtherRoute
            | ReplyOwner::Unreadable
            | ReplyOwner::Unknown,
        ) => {
            info!(task = %id, "an acknowledgement of a task that this process does not have; it has no effect");
        }
        Err(_) => {
            warn!(task = %id, "an acknowledgement of another process's task has no effect, because the store can't be asked");
        }
    }
}

/// Ends a task as canceled if AWS requests that and no worker has the task, as far as the broker can tell. True if it does.
pub async fn end_canceled(bridge: &Arc<Bridge>, id: TaskId) -> bool {
    if bridge.broker.durability() != Durability::Process {
        return false;
    }
    let Some(handle) = bridge.inflight.give_up_canceled(id) else {
        return false;
    };
    debug!(route = handle.route.name(), task = %id, "AWS asks for a cancel and nobody has the task; canceling it");
    let details = String::new();
    outcome::settle(Arc::clone(bridge), handle, Outcome::Canceled { details }).await;
    true
}
