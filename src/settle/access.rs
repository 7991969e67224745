//! Whether the publisher of a reply may settle its task. The endpoint refuses what it can; it does not know which task is whose
//! if the task was released before it started, or if another process has the task.

use super::{
    park::{self, Parked},
    unusable,
};
use crate::{
    broker::Delivery,
    context::Bridge,
    route::Route,
    store::{Shared, StoreError},
    task::TaskId,
};
use std::sync::Arc;
use tracing::warn;

/// The reason for parking such a reply.
const BECAUSE: &str =
    "the user that published it may not settle this task; name the task's route in amqp.users";

/// Whether the publisher of a reply may settle tasks of a route.
pub(super) fn may_settle(delivery: &Delivery, route: &Route) -> bool {
    let Some(queues) = &delivery.queues else {
        return true;
    };
    let queue = route.config.destination.queue();
    queue.is_some_and(|queue| queues.contains(&*queue.name))
}

/// Whether the publisher of a reply may not settle a task that is not in flight here. A task keeps its route, so the answer
/// holds until the task is claimed. A task that nobody knows is forbidden to nobody.
pub(super) async fn is_forbidden(
    bridge: &Bridge,
    shared: &dyn Shared,
    id: TaskId,
    delivery: &Delivery,
) -> Result<bool, StoreError> {
    if delivery.queues.is_none() {
        return Ok(false);
    }
    let route = shared.route_of(id).await?;
    Ok(route.is_some_and(|name| {
        let route = bridge.route(&name);
        route.is_none_or(|route| !may_settle(delivery, &route))
    }))
}

/// Parks such a reply, and tells the publisher that nobody takes it. The task goes on as if nothing had come.
pub(super) async fn refuse(bridge: Arc<Bridge>, id: TaskId, delivery: Delivery) {
    unusable::log(&bridge, BECAUSE, |left_out| {
        let queue = bridge.broker.reply_to();
        warn!(task = %id, queue, because = BECAUSE, left_out, "a reply can't be used; parking it");
    });
    let parked = park::park_reply(&bridge, &delivery, BECAUSE).await;
    if parked != Parked::ComesAgain {
        // No queue has it: only the endpoint says whose tasks a publisher may settle, and it refuses the confirm.
        delivery.receipt.requeue().await;
    }
}
