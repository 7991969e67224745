//! The end of a task by a reply: begins the settlement, or decides what becomes of a reply that comes too late for that.

use super::{
    answer::acknowledge,
    outcome,
    owner::{self, ReplyOwner},
};
use crate::{
    broker::{Durability, Receipt},
    context::Bridge,
    inflight::FinalReply,
    task::{Outcome, TaskId},
    util::{Backoff, supervise::catch_async},
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tracing::{debug, error};

/// Ends the task with an outcome, unless the task has an outcome already.
pub(super) fn end(bridge: &Arc<Bridge>, id: TaskId, outcome: Outcome, receipt: Receipt) {
    match bridge.inflight.on_final_reply(id, receipt) {
        FinalReply::Settle(handle) => {
            let settling = outcome::settle(Arc::clone(bridge), handle, outcome);
            bridge.supervisor.spawn("a settlement", settling);
        }
        FinalReply::Superseded(older) => {
            bridge.metrics.late_replies.inc();
            let older = match bridge.broker.durability() {
                // The broker keeps the newer copy until AWS has accepted the outcome. The older copy can be acknowledged.
                Durability::Durable => older,
                // Nobody keeps a copy, so no reply is acknowledged before AWS has the outcome.
                Durability::Process => older.and_then(|older| bridge.inflight.hold_also(id, older)),
            };
            if let Some(older) = older {
                acknowledge(bridge, older);
            }
        }
        FinalReply::Late(receipt) => {
            count_late(bridge, id);
            acknowledge(bridge, receipt);
        }
        FinalReply::Released(receipt) => {
            let supervisor = &bridge.supervisor;
            let ending = end_elsewhere(Arc::clone(bridge), id, outcome, receipt);
            supervisor.spawn("the end of another process's task", ending);
        }
    }
}

/// Ends a task that another process has taken over while its reply was being parked. The reply stays unacknowledged until this
/// process has claimed the task and AWS has the outcome, or until the task is known to have ended.
async fn end_elsewhere(bridge: Arc<Bridge>, id: TaskId, outcome: Outcome, receipt: Receipt) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    // Without a shared store, only a task that has ended leaves the table.
    while let Some(shared) = bridge.store.shared() {
        // Another process would panic over the record too. The reply is parked.
        let Ok(located) = catch_async(owner::locate(&bridge, shared, id, None)).await else {
            error!(task = %id, "handling a reply panicked; this is a bug of activity-bridge");
            break;
        };
        match located {
            Ok(ReplyOwner::Here) => return end(&bridge, id, outcome, receipt),
            Ok(ReplyOwner::Forwarded(_) | ReplyOwner::Unknown) => break,
            // A newer version has the task, or its record can't be read. The reply comes again, and is handled as one to a task of
            // another process.
            Ok(ReplyOwner::OtherRoute | ReplyOwner::Unreadable) => return receipt.requeue().await,
            // The broker delivers the reply again.
            Err(_) if !receipt.is_usable() => return,
            Err(error) => {
                debug!(task = %id, %error, "could not ask the store for the owner of a task; trying again");
                sleep(backoff.next_wait()).await;
            }
        }
    }
    count_late(&bridge, id);
    acknowledge(&bridge, receipt);
}

/// Counts a late reply: the same reply again, or one that lost a race.
pub(super) fn count_late(bridge: &Bridge, id: TaskId) {
    debug!(task = %id, "a reply to a task that has ended");
    bridge.metrics.late_replies.inc();
}
