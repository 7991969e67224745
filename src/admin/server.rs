//! The HTTP server of the admin endpoint: plain HTTP on a configured address, and on a local socket.

use super::{
    caller::Caller,
    connections::{self, Limits, Listeners},
    drain::{self, Drain},
    listing::{Listing, RouteNote},
    notes::{notes, store_notes},
    release::{self, Releaser},
    socket::LocalSocket,
};
use crate::{
    broker::{Broker, Link},
    context::Bridge,
    intake::gate::Gate,
    phase::Phase,
    process::DrainSwitch,
    route::Route,
    util::crash_point::{CrashPoint, crash_point},
};
use anyhow::Context;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Extension, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::watch};

/// What the endpoint reads.
#[derive(Clone)]
pub struct Admin {
    /// What all parts share.
    pub bridge: Arc<Bridge>,
    /// Each route with its gate.
    pub routes: Vec<(Arc<Route>, watch::Receiver<Gate>)>,
    /// The phase of the process.
    pub phase: watch::Receiver<Phase>,
    /// The kind and place of the token store.
    pub store: Arc<str>,
    /// Whether the start is over.
    pub started: watch::Receiver<bool>,
    /// What drains the process.
    pub switch: DrainSwitch,
}

/// Binds the address.
///
/// # Errors
///
/// If it can't be bound.
pub async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(listen).await;
    bound.with_context(|| format!("admin.listen = \"{listen}\" can't be bound"))
}

/// Serves until the process ends, on the address and on the local socket.
pub async fn serve(admin: Admin, listener: TcpListener, socket: Option<LocalSocket>) {
    if let Ok(addr) = listener.local_addr() {
        tracing::info!(%addr, "admin listening");
    }
    if let Some(socket) = &socket {
        tracing::info!(path = %socket.name, "admin listening on a local socket");
    }
    let supervisor = admin.bridge.supervisor.clone();
    let limits = Limits::of_the_process();
    let Admin { bridge, phase, .. } = &admin;
    let draining = Drain::new(
        Arc::clone(bridge),
        phase.clone(),
        admin.switch.clone(),
        limits.connections,
    );
    let drained = Router::new()
        .route("/drained", get(drain::drained))
        .with_state(draining.clone());
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/started", get(started))
        .route("/metrics", get(metrics))
        .route("/tasks", get(tasks))
        .with_state(admin.clone())
        .merge(drained);
    let releaser = Releaser {
        bridge: admin.bridge,
        phase: admin.phase,
        store: admin.store,
        busy: Arc::default(),
    };
    // What changes something is served on the socket alone. There the system says who asks.
    let releasing = Router::new()
        .route("/release", post(release::post))
        .layer(DefaultBodyLimit::max(release::MAX_REQUEST_BYTES))
        .with_state(releaser);
    let verbs = Router::new()
        .route("/drain", post(drain::begin))
        .route("/resume", post(drain::take_back))
        .with_state(draining)
        .merge(releasing);
    crash_point(CrashPoint::AdminLoop);
    let listeners = Listeners {
        socket: socket.map(|socket| (socket, router.clone().merge(verbs))),
        address: (listener, router),
    };
    connections::serve(listeners, supervisor, limits).await;
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    phase: &'static str,
    broker: String,
    store: String,
    /// What a person should know about the token store although it is available.
    store_notes: Vec<String>,
    tasks_in_flight: usize,
    routes: Vec<RouteReadiness>,
}

#[derive(Serialize)]
struct RouteReadiness {
    name: String,
    source: &'static str,
    ready: bool,
    state: String,
    slots_taken: usize,
    slots: usize,
    notes: Vec<String>,
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let readiness = admin.readiness();
    let status = match readiness.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(readiness)).into_response()
}

/// Once it answers 200, it always does.
async fn started(State(admin): State<Admin>) -> Response {
    if *admin.started.borrow() {
        return "started\n".into_response();
    }
    let mut waits = String::from("not started\n");
    for (route, gate) in &admin.routes {
        let gate = gate.borrow();
        if !gate.has_observed() {
            waits.push_str(&format!("route {}: {}\n", route.name(), *gate));
        }
    }
    (StatusCode::SERVICE_UNAVAILABLE, waits).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let metrics = &admin.bridge.metrics;
    let in_flight = i64::try_from(admin.bridge.inflight.len()).unwrap_or(i64::MAX);
    metrics.in_flight.set(in_flight);
    let connected = admin.bridge.broker.link().borrow().is_connected();
    metrics.broker_connected.set(connected.into());
    let connections = admin.bridge.broker.connections().unwrap_or_default();
    let connections = i64::try_from(connections).unwrap_or(i64::MAX);
    metrics.worker_connections.set(connections);
    for (route, _) in admin.routes.iter() {
        let out = admin
            .bridge
            .broker
            .unacknowledged(&route.config.destination);
        let out = i64::try_from(out.unwrap_or_default()).unwrap_or(i64::MAX);
        route.metrics.queue_unacknowledged.set(out);
    }
    let available = admin.bridge.store.unavailable().is_none();
    metrics.store_available.set(available.into());
    let unreadable = admin.bridge.store.unreadable();
    let unreadable = i64::try_from(unreadable).unwrap_or(i64::MAX);
    metrics.store_unreadable.set(unreadable);
    match metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn tasks(State(admin): State<Admin>, Extension(caller): Extension<Caller>) -> Json<Listing> {
    let Bridge {
        inflight, store, ..
    } = &*admin.bridge;
    let notes = admin.routes.iter().flat_map(|(route, _)| {
        let notes = notes(&*admin.bridge.broker, route).into_iter();
        notes.map(|note| RouteNote {
            route: route.name().to_owned(),
            note,
        })
    });
    let listing = Listing::of_process(inflight, store.owner(), &admin.store);
    let listing = listing.with_notes(notes.collect());
    Json(listing.shown_to(caller))
}

impl Admin {
    fn readiness(&self) -> Readiness {
        let (broker_ready, broker) = match &*self.bridge.broker.link().borrow() {
            Link::Up => (true, "connected".to_owned()),
            Link::Blocked(why) => (true, format!("connected, but it takes no messages: {why}")),
            Link::Away(why) => (false, format!("away: {why}")),
        };
        let unavailable = self.bridge.store.unavailable();
        let phase = *self.phase.borrow();
        let routes = self.routes.iter();
        let routes: Vec<_> = routes
            .map(|(route, gate)| route_readiness(&*self.bridge.broker, route, gate, phase))
            .collect();
        Readiness {
            ready: phase == Phase::Running
                && broker_ready
                && unavailable.is_none()
                && routes.iter().all(|route| route.ready),
            phase: phase.name(),
            broker,
            store: unavailable.unwrap_or_else(|| "ok".to_owned()),
            store_notes: store_notes(&*self.bridge.store),
            tasks_in_flight: self.bridge.inflight.len(),
            routes,
        }
    }
}

fn route_readiness(
    broker: &dyn Broker,
    route: &Route,
    gate: &watch::Receiver<Gate>,
    phase: Phase,
) -> RouteReadiness {
    let gate = gate.borrow();
    let refused = route.refused();
    let state = match *gate {
        Gate::Open if !phase.polls() => format!("no new polls: {}", phase.name()),
        _ => gate.to_string(),
    };
    RouteReadiness {
        name: route.name().to_owned(),
        source: route.source.kind(),
        ready: refused.is_none() && gate.is_healthy(),
        state: refused.unwrap_or(state),
        slots_taken: route.slots.in_use(),
        slots: route.config.max_in_flight,
        notes: notes(broker, route),
    }
}
