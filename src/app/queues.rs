//! Tells the broker which queues the routes have. A route that changes its queue still has tasks in the old one, which is looked at
//! until the last of them has ended.

use crate::{
    broker::{Destination, TaskQueue},
    context::Bridge,
    route::Route,
    util::jittered,
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
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

    /// Keeps the destination of a route, whose settings are replaced by these, until its last task there has ended.
    pub(super) fn keep_destination_of(&self, route: &Route, now: &Route) {
        let queue = route.config.task_queue().map(Arc::new);
        let queue = queue.filter(|queue| !now.uses_queue(&queue.name));
        self.former.lock().extend(queue.clone());
        let ending =
            self.clone()
                .end_unused(route.unused(), route.config.destination.clone(), queue);
        let supervisor = &self.bridge.supervisor;
        supervisor.spawn("the end of a route's former destination", ending);
    }

    /// Looks at a former queue until nobody uses it, because a broker tells of the loss of a queue to whoever looks at it. Then lets it
    /// and its destination go.
    async fn end_unused(
        self,
        unused: impl Future<Output = ()>,
        destination: Destination,
        queue: Option<Arc<TaskQueue>>,
    ) {
        // An exchange may have gone that the queue does not need.
        let looked_at = destination.queue().filter(|_| queue.is_some());
        let looked_at = looked_at.cloned().map(Destination::Queue);
        tokio::pin!(unused);
        loop {
            tokio::select! {
                () = &mut unused => break,
                () = sleep(jittered(LOOK_INTERVAL)), if looked_at.is_some() => {}
            }
            if let Some(queue) = &looked_at {
                // What is wrong with it matters to no poll.
                drop(self.bridge.broker.readiness(queue).await);
            }
        }
        if let Some(queue) = queue {
            self.former.lock().retain(|one| !Arc::ptr_eq(one, &queue));
            self.tell();
        }
        self.leave(&destination).await;
    }

    /// Lets the broker's client end what it keeps for a queue and an exchange that no route has, and in which no task waits.
    pub(super) async fn leave(&self, destination: &Destination) {
        let routes = self.bridge.routes.all();
        let broker = &self.bridge.broker;
        if let Some(queue) = destination.queue() {
            let is_former = |former: &Arc<TaskQueue>| former.name == queue.name;
            let is_used = routes.iter().any(|route| route.uses_queue(&queue.name))
                || self.former.lock().iter().any(is_former);
            if !is_used {
                broker.leave(&Destination::Queue(queue.clone())).await;
            }
        }
        if let Destination::Exchange { name, key, .. } = destination
            && !routes
                .iter()
                .any(|route| route.config.destination.exchange() == name)
        {
            let (name, key) = (name.clone(), key.clone());
            let exchange = Destination::Exchange {
                name,
                key,
                queue: None,
            };
            broker.leave(&exchange).await;
        }
    }
}
