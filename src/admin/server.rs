//! The HTTP server of the admin endpoint: plain HTTP on a configured address, and on a local socket.

use super::{
    caller::Caller,
    connections::{self, Limits, Listeners},
    drain::{self, Drain},
    listing::{Listing, RouteNote},
    notes::notes,
    parked, pause,
    readiness::Readiness,
    release::{self, Releaser},
    reload, scale, scrape,
    shared::Admin,
    socket::LocalSocket,
    status::{answers, collect::collect},
};
use crate::{
    context::Bridge,
    util::crash_point::{CrashPoint, crash_point},
};
use anyhow::Context;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Extension, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;

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
    // A browser that a stranger's page has sent here does not get these.
    let shown = Router::new()
        .route("/", get(status_page))
        .route("/status.json", get(status_json))
        .route("/tasks", get(tasks))
        .route_layer(middleware::from_fn(answers::check_host))
        .with_state(admin.clone());
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/started", get(started))
        .route("/metrics", get(metrics))
        .route("/scale", get(scale::all))
        .route("/scale/{route}", get(scale::one))
        .with_state(admin.clone())
        .merge(shown)
        .merge(drained);
    let releaser = Releaser {
        bridge: admin.bridge,
        phase: admin.phase,
        store: admin.store,
        busy: Arc::default(),
        reads_parked: Arc::default(),
    };
    // What changes something is served on the socket alone. There the system says who asks.
    let releasing = Router::new()
        .route("/release", post(release::post))
        .route("/pause", post(pause::post))
        .route("/parked", post(parked::post))
        .layer(DefaultBodyLimit::max(release::MAX_REQUEST_BYTES))
        .with_state(releaser);
    let reloading = Router::new()
        .route("/reload", post(reload::post))
        .with_state(admin.reload);
    let verbs = Router::new()
        .route("/drain", post(drain::begin))
        .route("/resume", post(drain::take_back))
        .with_state(draining)
        .merge(releasing)
        .merge(reloading);
    crash_point(CrashPoint::AdminLoop);
    let listeners = Listeners {
        socket: socket.map(|socket| (socket, router.clone().merge(verbs))),
        address: (listener, router),
    };
    connections::serve(listeners, supervisor, limits).await;
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let readiness = Readiness::of(&admin);
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
    for (route, gate) in admin.routes() {
        let gate = gate.borrow();
        if !gate.has_observed() {
            waits.push_str(&format!("route {}: {}\n", route.name(), *gate));
        }
    }
    (StatusCode::SERVICE_UNAVAILABLE, waits).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    scale::refresh(&admin.bridge).await;
    match scrape::text(&admin) {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn tasks(State(admin): State<Admin>, Extension(caller): Extension<Caller>) -> Json<Listing> {
    let Bridge {
        inflight, store, ..
    } = &*admin.bridge;
    let routes = admin.bridge.routes.all();
    let notes = routes.iter().flat_map(|route| {
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

async fn status_page(State(admin): State<Admin>) -> Response {
    answers::html(&collect(&admin))
}

async fn status_json(State(admin): State<Admin>) -> Response {
    answers::json(&collect(&admin))
}
