//! Tells the broker which queues the routes have. A route that changes its queue still has tasks in the old one, which is looked at
//! until the last of them has ended.

use crate::{
    broker::{Destination, TaskQueue},
    context::Bridge,
    route::Route,
    util::jittered,
};
use parking_lot::Mutex;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::time::sleep;

/// Interval between two looks at a former queue.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// See the module. Clones share the queues.
#[derive(Clone)]
pub(super) struct Queues {
    bridge: Arc<Bridge>,
    /// The queues in which there are tasks, though their route has another queue now.
    former: Arc<Mutex<Vec<Arc<TaskQueue>>>>,
}

impl Queues {
    pub(super) fn new(bridge: Arc<Bridge>) -> Self {
        Self {
            bridge,
            former: Arc::default(),
        }
    }

    /// Tells the broker.
    pub(super) fn tell(&self) {
        let routes = self.bridge.routes.all();
        let queues = routes.iter().filter_map(|route| route.config.task_queue());
        let mut queues: Vec<_> = queues.collect();
        let former = self.former.lock();
        queues.extend(former.iter().map(|queue| TaskQueue::clone(queue)));
        drop(former);
        self.bridge.broker.set_queues(queues);
    }

    /// Whether a route of another name still has tasks in this queue, though it has another one now.
    pub(super) fn is_former(&self, queue: Option<&str>, route: &str) -> bool {
        let former = self.former.lock();
        former
            .iter()
            .any(|one| Some(&*one.name) == queue && one.route != route)
    }

    /// Keeps the queue of a route whose settings are replaced, until its last task has ended.
    pub(super) fn keep_queue_of(&self, route: &Route) {
        let Some(queue) = route.config.task_queue().map(Arc::new) else {
            return;
        };
        self.former.lock().push(Arc::clone(&queue));
        let (queues, unused) = (self.clone(), route.unused());
        let destination = route.config.destination.clone();
        let looking = look_at(Arc::clone(&self.bridge), destination.clone());
        let supervisor = &self.bridge.supervisor;
        supervisor.spawn("the end of a route's former queue", async move {
            tokio::select! {
                () = unused => {}
                never = looking => match never {},
            }
            queues.former.lock().retain(|one| !Arc::ptr_eq(one, &queue));
            queues.tell();
            queues.bridge.broker.leave(&destination).await;
        });
    }
}

/// Looks at a queue again and again. A broker tells of the loss of a queue to whoever looks at it.
async fn look_at(bridge: Arc<Bridge>, destination: Destination) -> Infallible {
    loop {
        sleep(jittered(LOOK_INTERVAL)).await;
        // What is wrong with it matters to no poll.
        drop(bridge.broker.readiness(&destination).await);
    }
}
