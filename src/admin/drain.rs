//! `/drained`: for whoever waits for the end of a drain. On the local socket also `/drain` and `/resume`, which ask for a drain and
//! take it back.

use super::{
    caller::{Caller, REFUSED},
    open_connections::InUse,
};
use crate::{
    context::Bridge,
    phase::Phase,
    process::{DrainSwitch, DrainWait, Ending},
};
use axum::{
    Json,
    extract::{Extension, State},
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// Maximum number of callers that wait for the end of a drain.
const MAX_WAITING: usize = 16;

/// How far a drain is.
#[derive(Debug, Serialize, Deserialize)]
pub struct DrainState {
    /// Whether nothing is in flight.
    pub drained: bool,
    /// The name of the phase.
    pub phase: String,
    /// The number of open polls.
    pub open_polls: usize,
    /// The number of tasks in flight.
    pub tasks_in_flight: usize,
}

/// What the requests share.
#[derive(Clone)]
pub(super) struct Drain {
    bridge: Arc<Bridge>,
    phase: watch::Receiver<Phase>,
    switch: DrainSwitch,
    /// The places of callers that wait.
    places: Arc<Semaphore>,
}

impl Drain {
    /// `connections`: the maximum number of connections. Callers that wait take half of them at most.
    pub(super) fn new(
        bridge: Arc<Bridge>,
        phase: watch::Receiver<Phase>,
        switch: DrainSwitch,
        connections: usize,
    ) -> Self {
        let places = MAX_WAITING.min(connections / 2).max(1);
        Self {
            bridge,
            phase,
            switch,
            places: Arc::new(Semaphore::new(places)),
        }
    }

    fn state(&self, drained: bool) -> Json<DrainState> {
        let routes = self.bridge.routes.all();
        Json(DrainState {
            drained,
            phase: self.phase.borrow().name().to_owned(),
            open_polls: routes.iter().map(|route| route.open_polls.number()).sum(),
            tasks_in_flight: self.bridge.inflight.len(),
        })
    }
}

/// `GET /drained`.
pub(super) async fn drained(
    State(drain): State<Drain>,
    Extension(in_use): Extension<InUse>,
) -> Response {
    let Ok(_place) = drain.places.try_acquire() else {
        let why = "too many callers wait for the drain; try again\n";
        return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")], why).into_response();
    };
    let _waiting = in_use.wait();
    match drain.switch.drained(drain.phase.clone()).await {
        DrainWait::Drained => drain.state(true).into_response(),
        DrainWait::NoDrain => StatusCode::NO_CONTENT.into_response(),
        DrainWait::TakenBack => (StatusCode::CONFLICT, drain.state(false)).into_response(),
        DrainWait::TimeUp => (StatusCode::SERVICE_UNAVAILABLE, drain.state(false)).into_response(),
    }
}

/// `POST /drain`. It does not wait.
pub(super) async fn begin(
    State(drain): State<Drain>,
    Extension(caller): Extension<Caller>,
) -> Response {
    if !caller.may_know_ids {
        return (StatusCode::FORBIDDEN, REFUSED).into_response();
    }
    drain.switch.drain();
    StatusCode::ACCEPTED.into_response()
}

/// `POST /resume`.
pub(super) async fn take_back(
    State(drain): State<Drain>,
    Extension(caller): Extension<Caller>,
) -> Response {
    if !caller.may_know_ids {
        return (StatusCode::FORBIDDEN, REFUSED).into_response();
    }
    match drain.switch.resume() {
        Ok(true) => "the drain was taken back\n".into_response(),
        Ok(false) => "no drain was under way\n".into_response(),
        Err(Ending) => (StatusCode::CONFLICT, "the bridge is ending\n").into_response(),
    }
}
