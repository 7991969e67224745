//! `/readyz`: whether the process and its routes are ready, and if not, why. The metrics say the same, because they ask here too.

use super::{
    notes::{notes, store_notes},
    shared::Admin,
};
use crate::{
    broker::{Broker, Link},
    intake::gate::Gate,
    metrics::RouteReason,
    phase::Phase,
    route::Route,
    util::Label,
};
use serde::{Serialize, Serializer};

/// The answer of `/readyz`.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// Whether all is ready.
    pub ready: bool,
    /// The name of the phase.
    pub phase: &'static str,
    /// Whether the broker is connected, and if not, why.
    pub broker: String,
    /// Whether the token store is available, and if not, why.
    pub store: String,
    /// What a person should know about the token store although it is available.
    pub store_notes: Vec<String>,
    /// The number of tasks in flight.
    pub tasks_in_flight: usize,
    /// Each route.
    pub routes: Vec<RouteReadiness>,
}

/// Whether a route is ready, and what it does.
#[derive(Debug, Serialize)]
pub struct RouteReadiness {
    /// The name of the route.
    pub name: String,
    /// The kind of its source.
    pub source: &'static str,
    /// Whether it needs no person.
    pub ready: bool,
    /// What it does, or why it does not poll, in words.
    pub state: String,
    /// The same as a label, for programs. The metrics have it too.
    #[serde(serialize_with = "label")]
    pub reason: RouteReason,
    /// The number of slots that are taken.
    pub slots_taken: usize,
    /// The number of slots.
    pub slots: usize,
    /// What a person should know although the route is ready.
    pub notes: Vec<String>,
}

fn label<S: Serializer>(reason: &RouteReason, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(reason.label())
}

impl Readiness {
    /// The readiness now.
    #[must_use]
    pub fn of(admin: &Admin) -> Self {
        let Admin { bridge, phase, .. } = admin;
        let (broker_ready, broker) = match &*bridge.broker.link().borrow() {
            Link::Up => (true, "connected".to_owned()),
            Link::Blocked(why) => (true, format!("connected, but it takes no messages: {why}")),
            Link::Away(why) => (false, format!("away: {why}")),
        };
        let unavailable = bridge.store.unavailable();
        let phase = *phase.borrow();
        let routes = admin.routes();
        let routes: Vec<_> = routes
            .iter()
            .map(|(route, gate)| RouteReadiness::of(&*bridge.broker, route, &gate.borrow(), phase))
            .collect();
        Self {
            ready: phase == Phase::Running
                && broker_ready
                && unavailable.is_none()
                && routes.iter().all(|route| route.ready),
            phase: phase.name(),
            broker,
            store: unavailable.unwrap_or_else(|| "ok".to_owned()),
            store_notes: store_notes(&*bridge.store),
            tasks_in_flight: bridge.inflight.len(),
            routes,
        }
    }
}

impl RouteReadiness {
    fn of(broker: &dyn Broker, route: &Route, gate: &Gate, phase: Phase) -> Self {
        // A route that does not poll can't find out that AWS takes it again. A person wants the pause, or the end.
        let stops = route.is_paused() || route.is_leaving();
        let refused = route.refused().filter(|_| !stops);
        let ready = route.is_leaving() || (refused.is_none() && gate.is_healthy());
        let (reason, state) = match (refused, gate) {
            _ if route.is_leaving() => {
                let state = "no longer configured; its tasks end".to_owned();
                (RouteReason::Leaving, state)
            }
            (Some(refused), _) => (RouteReason::Refused, refused),
            (None, gate) if !phase.polls() && gate.is_healthy() => {
                let state = format!("no new polls: {}", phase.name());
                (RouteReason::Draining, state)
            }
            (None, gate) => (gate.reason(), gate.to_string()),
        };
        Self {
            name: route.name().to_owned(),
            source: route.source.kind().label(),
            ready,
            state,
            reason,
            slots_taken: route.slots.in_use(),
            slots: route.config.max_in_flight,
            notes: notes(broker, route),
        }
    }
}
