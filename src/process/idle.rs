//! The end of a process that runs until nothing comes any more, as a job or a script wants it.

use crate::{
    context::Bridge,
    intake::{gate::Gate, loops::RouteLoops},
    phase::Phase,
    route::Route,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, interval},
};

/// Interval between two checks. What comes and ends between them is counted.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// What is observed of the bridge.
pub struct Idleness {
    /// What all parts share.
    pub bridge: Arc<Bridge>,
    /// The gates of the routes.
    pub loops: RouteLoops,
    /// The phase of the process.
    pub phase: watch::Receiver<Phase>,
}

impl Idleness {
    /// Waits until for this time no task has come, none was in flight, and one could have come.
    pub async fn lasts(self, limit: Duration) {
        let mut had_worker = HashSet::new();
        let mut tick = interval(CHECK_INTERVAL);
        let mut since: Option<(Instant, u64)> = None;
        loop {
            tick.tick().await;
            let brought = self.tasks_brought();
            since = match since {
                _ if !self.is_idle(&mut had_worker) => None,
                Some((begun, before)) if before == brought => Some((begun, brought)),
                Some(_) | None => Some((Instant::now(), brought)),
            };
            if since.is_some_and(|(begun, _)| begun.elapsed() >= limit) {
                return;
            }
        }
    }

    fn tasks_brought(&self) -> u64 {
        let routes = self.bridge.routes.all();
        routes
            .iter()
            .map(|route| route.open_polls.tasks_brought())
            .sum()
    }

    /// Whether nothing is in flight, though each route polls or has polled until its workers left.
    fn is_idle(&self, had_worker: &mut HashSet<String>) -> bool {
        let mut idle = *self.phase.borrow() == Phase::Running && self.bridge.inflight.is_empty();
        for (route, gate) in self.loops.gates(&self.bridge) {
            let gate = gate.borrow();
            if *gate == Gate::Open {
                had_worker.insert(route.name().to_owned());
            }
            let had_worker = had_worker.contains(route.name());
            idle &= route.is_leaving() || has_nothing(&route, &gate, had_worker);
        }
        // Of routes that have ended, nothing is kept.
        had_worker.retain(|name| self.bridge.route(name).is_some());
        idle
    }
}

/// Whether AWS has no task for the route, as far as can be known. Before the first worker has come, it can't be known.
fn has_nothing(route: &Route, gate: &Gate, had_worker: bool) -> bool {
    let polls = *gate == Gate::Open || (*gate == Gate::NoConsumers && had_worker);
    polls && route.refused().is_none() && !route.open_polls.are_failing()
}
