//! Whose a task is that a reply is about.

use crate::{
    broker::Delivery,
    context::Bridge,
    store::{Claim, Forwarded, Record, Shared, StoreError},
    task::{Status, TaskId},
    util::crash_point::{CrashPoint, crash_point_over},
};

/// No more of what a worker says is handed on; AWS takes no more, in characters.
const MAX_DETAILS: usize = 2_048;

/// Whose a task is that is not in flight here.
pub enum ReplyOwner {
    /// It can be read like any other now.
    Here,
    /// The process that has the task will hear of it.
    Forwarded(Status),
    /// No process with its route has read it yet.
    OtherRoute,
    /// Nobody knows the task.
    Unknown,
}

/// Asks the shared store. `sign`: the reply, if it is no more than a sign of life, which is forwarded to the task's owner. Any other reply
/// ends the task, so the task is claimed; likewise one whose owner is dead.
///
/// # Errors
///
/// Where the store can't be asked.
pub async fn locate(
    bridge: &Bridge,
    shared: &dyn Shared,
    id: TaskId,
    sign: Option<&Delivery>,
) -> Result<ReplyOwner, StoreError> {
    // What is not UTF-8 is to be parked, by whoever has the task.
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
        Claim::Ours(record) => match bridge.route(&record.route) {
            Some(route) => {
                // Whoever replies has its message.
                let published = true;
                bridge.inflight.adopt(
                    Record {
                        published,
                        ..record
                    },
                    route,
                );
                ReplyOwner::Here
            }
            None => ReplyOwner::OtherRoute,
        },
        Claim::OtherRoute => ReplyOwner::OtherRoute,
        Claim::Ended => {
            bridge.inflight.remember_ended([id]);
            ReplyOwner::Here
        }
        Claim::Unknown => ReplyOwner::Unknown,
    })
}
