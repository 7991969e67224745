//! The owner of a task that is not in flight here, and what is done with a reply to such a task. Only a shared store
//! needs this.

use super::resume::resume;
use crate::{
    broker::Delivery,
    context::Bridge,
    inflight::Restored,
    store::{Claim, Forwarded, Shared, StoreError},
    task::{Status, TaskId},
    util::crash_point::{CrashPoint, crash_point_over},
};
use std::sync::Arc;

/// Maximum length of the details that are forwarded, in characters. It is AWS's limit for details.
const MAX_DETAILS: usize = 2_048;

/// Which process handles a reply to a task that was not in flight here.
pub enum ReplyOwner {
    /// This process: it owns the task now, or knows that the task has ended.
    Here,
    /// The task's owner gets the sign of life. The status is the answer for the worker.
    Forwarded(Status),
    /// Another process: the task's route is not configured here, or only a newer version can read its record.
    OtherRoute,
    /// No process: the record of the task can't be read.
    Unreadable,
    /// No process: there is no such task.
    Unknown,
}

/// Asks the shared store for the owner of a task. `sign` is the reply if it is a sign of life. A sign of life is
/// forwarded to the owner, unless the owner is dead. Any other reply ends the task, so this process claims the task. It
/// also claims the task of a dead owner.
///
/// # Errors
///
/// The store can't be asked.
pub async fn locate(
    bridge: &Arc<Bridge>,
    shared: &dyn Shared,
    id: TaskId,
    sign: Option<&Delivery>,
) -> Result<ReplyOwner, StoreError> {
    // A reply that is not UTF-8 is parked by the task's owner, so the task is claimed.
    if let Some(delivery) = sign
        && let Ok(details) = str::from_utf8(&delivery.body)
    {
        crash_point_over(CrashPoint::OnReply, &delivery.body);
        let details: String = details.chars().take(MAX_DETAILS).collect();
        match shared.forward(id, &details).await? {
            Forwarded::To(status) => return Ok(ReplyOwner::Forwarded(status)),
            Forwarded::Orphan | Forwarded::Ended | Forwarded::Unknown => {}
        }
    }
    Ok(match shared.claim(id).await? {
        Claim::Ours(record) => match bridge.route_of(&record) {
            Some(route) => {
                // The worker that replied has the task's message.
                let restored = match record.has_outcome {
                    true => Restored::ToSettle,
                    false => Restored::Dispatched,
                };
                if bridge.inflight.adopt(record, &route, restored) {
                    bridge.broker.expect_replies(bridge.inflight.len());
                    // What its worker says from here on casts no doubt on the worker.
                    bridge.broker.withdraw(id).await;
                    if restored == Restored::ToSettle {
                        resume(bridge, id);
                    }
                }
                ReplyOwner::Here
            }
            None => ReplyOwner::OtherRoute,
        },
        Claim::OtherRoute => ReplyOwner::OtherRoute,
        Claim::Unreadable => ReplyOwner::Unreadable,
        Claim::Ended => {
            bridge.inflight.remember_ended([id]);
            ReplyOwner::Here
        }
        Claim::Unknown => ReplyOwner::Unknown,
    })
}
