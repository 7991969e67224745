//! What the sender of a reply gets: the broker's acknowledgement, the answer to a sign of life, and an announcement that was
//! made before it listened. It decides who is answered. `notify` sends.

use super::{
    notify,
    park::{self, Parked},
    parse::{PANICKED, is_sign},
};
use crate::{
    broker::{
        Announcement, Delivery, Receipt, ReplyType,
        names::{PARKING_QUEUE, REPLIES_EXCHANGE},
    },
    context::Bridge,
    task::{Status, TaskId},
    util::supervise::{catch, catch_async},
};
use std::sync::Arc;
use tracing::{debug, error};

pub(super) fn acknowledge(bridge: &Bridge, receipt: Receipt) {
    // If its connection has ended, the broker delivers it again, and it then counts as late.
    bridge.supervisor.spawn("an acknowledgement", receipt.ack());
}

/// Acknowledges a reply. A sign of life with a `reply_to` is answered first.
pub(super) fn answer(bridge: &Arc<Bridge>, delivery: Delivery, status: Status) {
    let is_question = catch(|| is_question(bridge, &delivery));
    if is_question == Ok(false) {
        return acknowledge(bridge, delivery.receipt);
    }
    let supervisor = &bridge.supervisor;
    let bridge = Arc::clone(bridge);
    supervisor.spawn("the answer to a sign of life", async move {
        if is_question.is_err()
            || catch_async(notify::answer(&bridge, &delivery, status))
                .await
                .is_err()
        {
            log_panic(&delivery);
            match park::park_reply(&bridge, &delivery, PANICKED).await {
                Parked::Stored | Parked::PutBack => {}
                Parked::NoRoom => return delivery.receipt.requeue().await,
                Parked::ComesAgain => return,
            }
        }
        delivery.receipt.ack().await;
    });
}

/// Answers a reply to a task that this process does not settle.
pub(super) fn answer_sign(bridge: &Arc<Bridge>, id: TaskId, delivery: Delivery, status: Status) {
    if is_start(&delivery) {
        tell(bridge, id, status);
    }
    answer(bridge, delivery, status);
}

/// Repeats, for a worker that has just begun, what was announced before the worker listened.
pub(super) fn tell(bridge: &Arc<Bridge>, id: TaskId, status: Status) {
    if let Some(what) = Announcement::of(status) {
        let supervisor = &bridge.supervisor;
        let bridge = Arc::clone(bridge);
        supervisor.spawn("the announcement of a cancel", async move {
            notify::announce(&bridge, id, what).await;
        });
    }
}

pub(super) fn is_start(delivery: &Delivery) -> bool {
    delivery.reply_type() == Some(ReplyType::Started)
}

/// Whether a reply is a sign of life that says where the answer must go, and the bridge may send it there.
///
/// The bridge may write to queues to which the sender may not. So no answer goes to a queue of the bridge's own, where it would
/// be a reply or a parked reply, nor to a route's queue, where it would be a task. A worker that copies the task's properties
/// names the reply queue.
fn is_question(bridge: &Bridge, delivery: &Delivery) -> bool {
    let Some(to) = delivery.reply_to.as_deref() else {
        return false;
    };
    let of_bridge = to.starts_with(REPLIES_EXCHANGE) || to == PARKING_QUEUE;
    let is_for_tasks = || {
        let routes = bridge.routes.all();
        routes.iter().any(|route| route.uses_queue(to))
    };
    if !is_sign(delivery) || of_bridge {
        return false;
    }
    if is_for_tasks() {
        debug!("a heartbeat wants its answer in a route's queue; it is not answered");
        return false;
    }
    true
}

pub(super) fn log_panic(delivery: &Delivery) {
    // This may be where it panicked.
    let task = catch(|| task_id(delivery).ok()).ok().flatten();
    let task = task.map(tracing::field::display);
    error!(
        task,
        "handling a reply panicked; this is a bug of activity-bridge"
    );
}

pub(super) fn task_id(delivery: &Delivery) -> Result<TaskId, &'static str> {
    match &delivery.correlation_id {
        None => Err("it has no correlation_id"),
        Some(id) => {
            TaskId::from_correlation_id(id).map_err(|_| "its correlation_id is not a task id")
        }
    }
}
