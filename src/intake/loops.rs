//! The loops of the routes: each route has a gate and a poller. The start and a reload of the configuration begin them here, and a
//! route that leaves ends them here.

use super::{
    gate::{self, Gate},
    poller,
};
use crate::{context::Bridge, phase::Phase, route::Route};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use tokio::{sync::watch, task::JoinHandle};

/// The loops of all routes, by the route's name. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct RouteLoops(Arc<Mutex<HashMap<String, Loops>>>);

/// The loops of a route.
#[derive(Debug, Default)]
struct Loops {
    gate: Arc<watch::Sender<Gate>>,
    keeping: Option<Loop>,
    polling: Option<Loop>,
}

/// A loop that is aborted when this is dropped. The polls that a poller holds open are dropped then.
#[derive(Debug)]
struct Loop(JoinHandle<()>);

impl Drop for Loop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RouteLoops {
    /// Adds a route, whose loops do not run yet. A route that is there already stays as it is.
    pub fn add(&self, name: &str) {
        self.0.lock().entry(name.to_owned()).or_default();
    }

    /// Begins the loops of a route, unless they run.
    pub fn begin(&self, bridge: &Arc<Bridge>, route: &Arc<Route>, phase: watch::Receiver<Phase>) {
        let mut all = self.0.lock();
        let loops = all.entry(route.name().to_owned()).or_default();
        if loops.polling.is_some() {
            return;
        }
        let supervisor = &bridge.supervisor;
        let name = route.name();
        let gate = Arc::clone(&loops.gate);
        let keeping = gate::run(Arc::clone(bridge), Arc::clone(route), gate);
        let keeping = supervisor.spawn_loop(&format!("the gate of route {name}"), keeping);
        loops.keeping = Some(Loop(keeping));
        let gate = loops.gate.subscribe();
        let polling = poller::run(Arc::clone(bridge), Arc::clone(route), gate, phase);
        let polling = supervisor.spawn_loop(&format!("the poller of route {name}"), polling);
        loops.polling = Some(Loop(polling));
    }

    /// Whether the loops of a route have begun. Before that, its tasks in the token store may not be in the table.
    #[must_use]
    pub fn has_begun(&self, name: &str) -> bool {
        let all = self.0.lock();
        all.get(name).is_some_and(|loops| loops.polling.is_some())
    }

    /// Sets what the gate of a route says until the route was observed again.
    pub fn set_gate(&self, name: &str, gate: Gate) {
        if let Some(loops) = self.0.lock().get(name) {
            loops.gate.send_replace(gate);
        }
    }

    /// Ends the loops of a route.
    pub fn end(&self, name: &str) {
        self.0.lock().remove(name);
    }

    /// Ends the gates of all routes.
    pub fn end_gates(&self) {
        for loops in self.0.lock().values_mut() {
            loops.keeping = None;
        }
    }

    /// Ends all loops. The polls that are open are cancelled.
    pub fn end_all(&self) {
        self.0.lock().clear();
    }

    /// What the gate of a route says; [`Gate::Starting`] of a route that is not there.
    #[must_use]
    pub fn gate(&self, name: &str) -> watch::Receiver<Gate> {
        match self.0.lock().get(name) {
            Some(loops) => loops.gate.subscribe(),
            None => watch::Sender::new(Gate::Starting).subscribe(),
        }
    }

    /// Each route with what its gate says.
    #[must_use]
    pub fn gates(&self, bridge: &Bridge) -> Vec<(Arc<Route>, watch::Receiver<Gate>)> {
        let routes = bridge.routes.all();
        let with_gate = |route: &Arc<Route>| (Arc::clone(route), self.gate(route.name()));
        routes.iter().map(with_gate).collect()
    }
}
