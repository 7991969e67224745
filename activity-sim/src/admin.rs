//! The admin API under `/_sim/`: what a test or a demo in another process asks of the simulator.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Query, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    decider,
    faults::FaultRule,
    hub::Hub,
    model::{ActivityType, Schedule, Throttle, Timeouts},
    record::{Summary, TaskRecord, TaskState},
    registry::NoDomain,
};

/// Schedules of many large inputs come in one body.
const MAX_BODY: usize = 256 << 20;

/// One object or an array of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::Many(items) => items,
            Self::One(item) => vec![item],
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewDomain {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forbid {
    domain: String,
    /// False permits it again.
    #[serde(default = "yes")]
    forbidden: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewType {
    domain: String,
    activity_type: ActivityType,
    #[serde(default)]
    defaults: Timeouts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    activity_ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    state: Option<TaskState>,
    task_list: Option<String>,
}

/// A refusal: the status and a text that says what to do.
type Refusal = (StatusCode, Json<Value>);
type Body<T> = Result<Json<T>, JsonRejection>;

pub(crate) fn router() -> Router<Arc<Hub>> {
    Router::new()
        .route("/_sim/domains", post(add_domain))
        .route("/_sim/types", post(register_type))
        .route("/_sim/forbid", post(forbid))
        .route("/_sim/schedule", post(schedule))
        .route("/_sim/cancel", post(cancel))
        .route("/_sim/tasks", get(tasks))
        .route("/_sim/summary", get(summary))
        .route(
            "/_sim/faults",
            get(faults).post(add_faults).delete(clear_faults),
        )
        .route("/_sim/throttle", post(throttle).delete(clear_throttles))
        .route("/_sim/reset", post(reset))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn add_domain(State(hub): State<Arc<Hub>>, body: Body<NewDomain>) -> Response {
    answer(read(body).map(|NewDomain { name }| {
        decider::add_domain(&hub, &name);
        Json(json!({ "name": name }))
    }))
}

async fn register_type(State(hub): State<Arc<Hub>>, body: Body<NewType>) -> Response {
    answer(read(body).and_then(
        |NewType {
             domain,
             activity_type,
             defaults,
         }| {
            let registered = decider::register_type(&hub, &domain, activity_type, defaults);
            let new = registered.map_err(|why| no_domain(&domain, why))?;
            Ok(Json(json!({ "registered": new })))
        },
    ))
}

async fn forbid(State(hub): State<Arc<Hub>>, body: Body<Forbid>) -> Response {
    answer(read(body).and_then(|Forbid { domain, forbidden }| {
        match hub.act(|state, _| state.registry.forbid(&domain, forbidden)) {
            true => Ok(Json(json!({ "domain": domain, "forbidden": forbidden }))),
            false => Err(no_domain(&domain, NoDomain::Unknown)),
        }
    }))
}

async fn schedule(State(hub): State<Arc<Hub>>, body: Body<OneOrMany<Schedule>>) -> Response {
    answer(read(body).and_then(|schedules| {
        let mut ids = Vec::new();
        for schedule in schedules.into_vec() {
            let domain = schedule.domain.clone();
            let scheduled = decider::schedule(&hub, schedule);
            ids.extend(scheduled.map_err(|why| no_domain(&domain, why))?);
        }
        Ok(Json(json!({ "activity_ids": ids })))
    }))
}

async fn cancel(State(hub): State<Arc<Hub>>, body: Body<Cancel>) -> Response {
    answer(read(body).map(|cancel| Json(decider::cancel(&hub, cancel.activity_ids))))
}

async fn tasks(State(hub): State<Arc<Hub>>, Query(filter): Query<Filter>) -> Json<Vec<TaskRecord>> {
    Json(hub.records(|record| {
        filter.state.is_none_or(|state| state == record.state)
            && filter
                .task_list
                .as_deref()
                .is_none_or(|list| list == record.task_list)
    }))
}

async fn summary(State(hub): State<Arc<Hub>>, Query(filter): Query<Filter>) -> Json<Summary> {
    Json(hub.summary(filter.task_list.as_deref()))
}

async fn faults(State(hub): State<Arc<Hub>>) -> Json<Vec<FaultRule>> {
    Json(hub.faults.rules())
}

async fn add_faults(State(hub): State<Arc<Hub>>, body: Body<OneOrMany<FaultRule>>) -> Response {
    answer(read(body).map(|rules| {
        for rule in rules.into_vec() {
            hub.faults.add(rule);
        }
        Json(hub.faults.rules())
    }))
}

async fn clear_faults(State(hub): State<Arc<Hub>>) -> StatusCode {
    hub.faults.clear();
    StatusCode::NO_CONTENT
}

async fn throttle(State(hub): State<Arc<Hub>>, body: Body<Throttle>) -> Response {
    answer(read(body).map(|throttle| {
        hub.throttles.set(&throttle, hub.uptime());
        Json(throttle)
    }))
}

async fn clear_throttles(State(hub): State<Arc<Hub>>) -> StatusCode {
    hub.throttles.clear();
    StatusCode::NO_CONTENT
}

async fn reset(State(hub): State<Arc<Hub>>) -> StatusCode {
    hub.reset();
    StatusCode::NO_CONTENT
}

fn read<T>(body: Body<T>) -> Result<T, Refusal> {
    body.map(|Json(value)| value)
        .map_err(|why| (why.status(), Json(json!({ "error": why.body_text() }))))
}

fn no_domain(domain: &str, why: NoDomain) -> Refusal {
    let error = match why {
        NoDomain::Unknown => {
            format!("no domain {domain:?}; add it with POST /_sim/domains {{\"name\": {domain:?}}}")
        }
        NoDomain::Forbidden => format!("the domain {domain:?} is forbidden by POST /_sim/forbid"),
    };
    (StatusCode::NOT_FOUND, Json(json!({ "error": error })))
}

fn answer<T: serde::Serialize>(result: Result<Json<T>, Refusal>) -> Response {
    match result {
        Ok(body) => body.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}
