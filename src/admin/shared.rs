//! What the requests to the admin endpoint share.

use crate::{
    context::Bridge,
    intake::{gate::Gate, loops::RouteLoops},
    phase::Phase,
    process::{DrainSwitch, reload::ReloadSwitch},
    route::Route,
};
use std::sync::Arc;
use tokio::{sync::watch, time::Instant};

/// What the endpoint reads.
#[derive(Clone)]
pub struct Admin {
    /// What all parts share.
    pub bridge: Arc<Bridge>,
    /// The gates of the routes.
    pub loops: RouteLoops,
    /// The phase of the process.
    pub phase: watch::Receiver<Phase>,
    /// The kind of the broker, and the place of the endpoint.
    pub broker: Arc<str>,
    /// The kind and place of the token store.
    pub store: Arc<str>,
    /// When the process began.
    pub since: Instant,
    /// Whether the start is over.
    pub started: watch::Receiver<bool>,
    /// What drains the process.
    pub switch: DrainSwitch,
    /// What reloads its configuration.
    pub reload: ReloadSwitch,
}

impl Admin {
    /// Whether the tasks that a route had in an earlier process are in the table.
    pub(super) fn has_begun(&self, route: &Route) -> bool {
        *self.started.borrow() && self.loops.has_begun(route.name())
    }

    /// Each route with its gate.
    pub(super) fn routes(&self) -> Vec<(Arc<Route>, watch::Receiver<Gate>)> {
        self.loops.gates(&self.bridge)
    }
}
