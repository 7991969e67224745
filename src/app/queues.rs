//! Tells the broker which queues the routes have. A route that changes its queue still has tasks in the old one, which is looked at
//! until the last of them has ended.

use crate::{
    broker::{Destination, QueueSpec, TaskQueue},
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

    /// Keeps the queue of a route, whose settings are replaced by these, until its last task there has ended. Lets the route's destination
    /// go then.
    pub(super) fn keep_destination_of(&self, route: &Route, now: &Route) {
        let destination = route.config.destination.clone();
        let queue = destination.queue().cloned();
        let former = route.config.task_queue().map(Arc::new);
        let supervisor = &self.bridge.supervisor;
        if let Destination::Exchange { .. } = destination {
            let (queues, unused) = (self.clone(), route.destination_unused());
            supervisor.spawn("the end of a route's former exchange", async move {
                unused.await;
                queues.leave_exchange(&destination).await;
            });
        }
        if let Some((queue, former)) = queue.zip(former)
            && !now.uses_queue(&queue.name)
        {
            self.former.lock().push(Arc::clone(&former));
            let ending = self.clone().end_queue(route.queue_unused(), queue, former);
            supervisor.spawn("the end of a route's former queue", ending);
        }
    }

    /// Looks at a former queue until its last task has ended, because a broker tells of the loss of a queue to whoever looks at it. Then
    /// lets it go.
    async fn end_queue(
        self,
        unused: impl Future<Output = ()>,
        queue: QueueSpec,
        former: Arc<TaskQueue>,
    ) {
        let queue = Destination::Queue(queue);
        tokio::pin!(unused);
        loop {
            tokio::select! {
                () = &mut unused => break,
                () = sleep(jittered(LOOK_INTERVAL)) => {}
            }
            // What is wrong with it matters to no poll.
            drop(self.bridge.broker.readiness(&queue).await);
        }
        self.former.lock().retain(|one| !Arc::ptr_eq(one, &former));
        self.tell();
        self.leave_queue(&queue).await;
    }

    /// Lets the broker's client end what it keeps for the destination of a route that has ended.
    pub(super) async fn leave(&self, destination: &Destination) {
        self.leave_exchange(destination).await;
        if let Some(queue) = destination.queue() {
            self.leave_queue(&Destination::Queue(queue.clone())).await;
        }
    }

    /// The same for an exchange, unless a route has it.
    async fn leave_exchange(&self, destination: &Destination) {
        if let Destination::Exchange { name, key, .. } = destination
            && !self.has_route(|route| route.config.destination.exchange() == name)
        {
            let exchange = Destination::Exchange {
                name: name.clone(),
                key: key.clone(),
                queue: None,
            };
            self.bridge.broker.leave(&exchange).await;
        }
    }

    /// The same for a queue, unless a route has it or a task waits in it.
    async fn leave_queue(&self, queue: &Destination) {
        let name = queue.queue().map_or("", |queue| &queue.name);
        let is_former = self.former.lock().iter().any(|former| former.name == name);
        if !is_former && !self.has_route(|route| route.uses_queue(name)) {
            self.bridge.broker.leave(queue).await;
        }
    }

    fn has_route(&self, is_it: impl Fn(&Route) -> bool) -> bool {
        let routes = self.bridge.routes.all();
        routes.iter().any(|route| is_it(route))
    }
}
