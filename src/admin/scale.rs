//! `/scale`: the work that there is for each route's workers, for whoever scales them.
//!
//! The work of a route is its tasks that wait at AWS and its tasks in flight here. A task that waits in the queue, or that a
//! worker has not acknowledged, is in flight here, so it is not counted again. What is not known is never told as 0: an
//! autoscaler would end all workers.

use super::shared::Admin;
use crate::{
    context::Bridge,
    inflight::Tally,
    route::{PendingAtAws, Route},
    task::Progress,
    util::Label,
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Maximum number of routes whose tasks are counted at AWS at the same time.
const MAX_CONCURRENT_QUESTIONS: usize = 8;

/// Timeout for all questions of one request. Routes that were not asked about are first with the next request.
const QUESTIONS_TIMEOUT: Duration = Duration::from_millis(2_500);

/// The work of all routes.
#[derive(Debug, Serialize)]
pub struct Scale {
    /// In the order of the configuration.
    pub routes: Vec<RouteWork>,
}

/// The work of one route.
#[derive(Debug, Serialize)]
pub struct RouteWork {
    /// The name of the route.
    pub route: String,
    /// `swf` or `step-functions`.
    pub source: &'static str,
    /// The tasks that there are for workers: `pending_at_aws` and `in_flight`; `None` if that is not known.
    pub work: Option<u64>,
    /// The tasks that wait at AWS for a poll; `None` if that is not known.
    pub pending_at_aws: Option<u64>,
    /// Whether there are more than AWS counts.
    pub pending_is_truncated: bool,
    /// The age of AWS's answer.
    pub pending_age_secs: Option<u64>,
    /// The tasks of this process that are not settled: the sum of the next four.
    pub in_flight: u64,
    /// Those that are on their way to the broker.
    pub publishing: u64,
    /// Those that wait for a worker.
    pub waiting: u64,
    /// Those that a worker has.
    pub working: u64,
    /// Those whose outcome is on its way to AWS.
    pub settling: u64,
    /// Why `work` is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// `GET /scale`.
pub(super) async fn all(State(admin): State<Admin>) -> Json<Scale> {
    refresh(&admin.bridge).await;
    let routes = works(&admin.bridge, |route| admin.has_begun(route));
    Json(Scale { routes })
}

/// `GET /scale/ROUTE`. It fails where the work is not known.
pub(super) async fn one(State(admin): State<Admin>, Path(name): Path<String>) -> Response {
    let bridge = &admin.bridge;
    let Some(route) = bridge.route(&name) else {
        return (StatusCode::NOT_FOUND, "there is no such route\n").into_response();
    };
    if !route.is_leaving() {
        route.ask_for_pending().await;
    }
    let tallies = bridge.inflight.tally();
    let tally = tallies.get(&name).copied().unwrap_or_default();
    let work = RouteWork::new(&route, tally, admin.has_begun(&route));
    let status = match work.work {
        Some(_) => StatusCode::OK,
        None => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(work)).into_response()
}

/// Asks AWS about the routes about which it was not asked lately.
pub(super) async fn refresh(bridge: &Bridge) {
    let mut routes = bridge.routes.all().to_vec();
    routes.retain(|route| !route.is_leaving());
    routes.sort_by_key(|route| route.pending_not_before());
    let asking = stream::iter(routes)
        .for_each_concurrent(MAX_CONCURRENT_QUESTIONS, async |route| {
            route.ask_for_pending().await
        });
    drop(timeout(QUESTIONS_TIMEOUT, asking).await);
}

/// The work of each route, by what is known. `has_begun`: whether the route's tasks of an earlier process are in the table.
#[must_use]
pub fn works(bridge: &Bridge, has_begun: impl Fn(&Route) -> bool) -> Vec<RouteWork> {
    // The tasks in flight are counted first. A task that is polled meanwhile is missed for a moment, and not counted twice.
    let tallies = bridge.inflight.tally();
    let of_route = |route: &Arc<Route>| {
        let tally = tallies.get(route.name()).copied().unwrap_or_default();
        RouteWork::new(route, tally, has_begun(route))
    };
    bridge.routes.all().iter().map(of_route).collect()
}

impl RouteWork {
    fn new(route: &Route, tally: Tally, has_begun: bool) -> Self {
        let tasks = |progress: Progress| tally.by_progress[progress.index()] as u64;
        let in_flight = Progress::ALL.iter().copied().map(tasks).sum();
        let (pending, truncated, age, unknown) = match route.pending_at_aws() {
            // It polls no more, so what waits at AWS is not its work.
            _ if route.is_leaving() => (Some(0), false, Some(0), None),
            PendingAtAws::Known {
                count,
                truncated,
                age,
            } => (Some(count), truncated, Some(age.as_secs()), None),
            PendingAtAws::Unknown(why) => (None, false, None, Some(why)),
        };
        let unknown = match has_begun {
            true => unknown,
            false => Some("the route starts".to_owned()),
        };
        let known = pending.filter(|_| unknown.is_none());
        Self {
            route: route.name().to_owned(),
            source: route.source.kind().label(),
            work: known.map(|pending| pending.saturating_add(in_flight)),
            pending_at_aws: pending,
            pending_is_truncated: truncated,
            pending_age_secs: age,
            in_flight,
            publishing: tasks(Progress::Publishing),
            waiting: tasks(Progress::Waiting),
            working: tasks(Progress::Working),
            settling: tasks(Progress::Settling),
            unknown,
        }
    }
}
