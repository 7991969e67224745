//! How a route begins that a reload adds, and how one ends that a reload removes.

use super::queues::Queues;
use crate::{
    context::Bridge,
    intake::{
        loops::RouteLoops,
        recovery::{self, Unpublished},
    },
    phase::Phase,
    route::Route,
    util::{Backoff, Label},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

/// Adopts the tasks of new routes that are in the store, and then lets the routes poll.
pub(super) async fn begin(
    bridge: Arc<Bridge>,
    loops: RouteLoops,
    mut phase: watch::Receiver<Phase>,
    names: Vec<String>,
) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut unpublished = Unpublished::new();
    loop {
        // An error means that the process ends.
        if phase.wait_for(|phase| phase.polls()).await.is_err() {
            return;
        }
        let adopting = bridge.adopting.lock().await;
        // A drain may have begun while another search went on.
        if !phase.borrow().polls() {
            continue;
        }
        let adopted = recovery::adopt_again(&bridge, &mut unpublished).await;
        drop(adopting);
        let Err(error) = adopted else {
            break;
        };
        warn!(%error, "the records of new routes can't be read; trying again");
        sleep(backoff.next_wait()).await;
    }
    for name in names {
        if let Some(route) = bridge.route(&name) {
            loops.begin(&bridge, &route, phase.clone());
        }
    }
    recovery::republish(&bridge, unpublished).await;
}

/// Ends a route that is leaving, when its last poll and its last task have ended.
pub(super) async fn end(bridge: Arc<Bridge>, loops: RouteLoops, queues: Queues, route: Arc<Route>) {
    let mut following = bridge.routes.follow(Arc::clone(&route));
    let unused = async {
        loop {
            route.open_polls.all_ended().await;
            route.slots.all_free().await;
            if route.open_polls.number() == 0 {
                break;
            }
        }
    };
    tokio::select! {
        () = unused => {}
        // It is configured again.
        () = following.changed() => return,
    }
    if bridge.routes.remove(&route) {
        if let Some(shared) = bridge.store.shared() {
            let routes = bridge.routes.all();
            shared.set_routes(routes.iter().map(|route| route.own().clone()).collect());
        }
        loops.end(route.name());
        let source = route.source.kind().label();
        bridge.metrics.remove_route(route.name(), source);
        queues.tell();
        queues.leave(&route.config.destination).await;
        info!(
            route = route.name(),
            "the route has ended: it is not configured any more, and its last task is settled"
        );
    }
}
