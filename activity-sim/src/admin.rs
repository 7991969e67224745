//! The admin API under `/_sim/`. A test or a demo in another process uses it.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    calls::FaultRule,
    decider::{self, NotScheduled},
    hub::Hub,
    model::{ActivityType, Schedule, Throttle, Timeouts},
    record::{CancelReport, ExecutionRecord, Rates, Summary, TaskRecord, TaskState},
    registry::Unusable,
};

/// Maximum size of a body. A schedule of many large inputs is one body.
const MAX_BODY: usize = 256 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewDomain {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewActivity {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forbid {
    domain: Option<String>,
    activity_arn: Option<String>,
    /// Whether to forbid it; false permits it again.
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
struct TaskFilter {
    state: Option<TaskState>,
    task_list: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SummaryFilter {
    task_list: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RatesOf {
    action: String,
}

/// A refusal: the status and a text that says what to change.
type Refusal = (StatusCode, Json<Value>);
type Answer<T> = Result<Json<T>, Refusal>;

pub(crate) fn router() -> Router<Arc<Hub>> {
    Router::new()
        .route("/_sim/domains", post(add_domain))
        .route("/_sim/types", post(register_type))
        .route("/_sim/activities", post(create_activity))
        .route("/_sim/forbid", post(forbid))
        .route("/_sim/schedule", post(schedule))
        .route("/_sim/cancel", post(cancel))
        .route("/_sim/tasks", get(tasks))
        .route("/_sim/executions", get(executions))
        .route("/_sim/summary", get(summary))
        .route("/_sim/rates", get(rates))
        .route(
            "/_sim/faults",
            get(faults).post(add_faults).delete(clear_faults),
        )
        .route("/_sim/throttle", post(throttle).delete(clear_throttles))
        .route("/_sim/reset", post(reset))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .fallback(nothing_here)
}

async fn add_domain(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer<Value> {
    let NewDomain { name } = read(&body)?;
    decider::add_domain(&hub, &name);
    Ok(Json(json!({ "name": name })))
}

async fn register_type(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer<Value> {
    let NewType {
        domain,
        activity_type,
        defaults,
    } = read(&body)?;
    let registered = decider::register_type(&hub, &domain, activity_type, defaults);
    let new = registered.map_err(|why| no_domain(&domain, why))?;
    Ok(Json(json!({ "registered": new })))
}

async fn create_activity(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer<Value> {
    let NewActivity { name } = read(&body)?;
    let arn = decider::create_activity(&hub, &name);
    let arn =
        arn.ok_or_else(|| bad_request(format!("{name:?} is not a valid name for an activity")))?;
    Ok(Json(json!({ "activity_arn": arn })))
}

async fn forbid(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer<Value> {
    let Forbid {
        domain,
        activity_arn,
        forbidden,
    } = read(&body)?;
    match (domain, activity_arn) {
        (Some(domain), None) => {
            match hub.act(|state, _| state.domains.forbid(&domain, forbidden)) {
                true => Ok(Json(json!({ "domain": domain, "forbidden": forbidden }))),
                false => Err(no_domain(&domain, Unusable::Unknown)),
            }
        }
        (None, Some(arn)) => match hub.act(|state, _| state.activities.forbid(&arn, forbidden)) {
            true => Ok(Json(json!({ "activity_arn": arn, "forbidden": forbidden }))),
            false => Err(no_activity(&arn)),
        },
        (Some(_), Some(_)) | (None, None) => Err(bad_request("either domain or activity_arn")),
    }
}

async fn schedule(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer<Value> {
    let mut ids = Vec::new();
    for schedule in read_many::<Schedule>(&body)? {
        let (domain, task_list) = (schedule.domain.clone(), schedule.task_list.clone());
        let scheduled = decider::schedule(&hub, schedule);
        ids.extend(scheduled.map_err(|why| match why {
            NotScheduled::NoDomain => no_domain(&domain, Unusable::Unknown),
            NotScheduled::NoActivity => no_activity(&task_list),
            NotScheduled::Refused(why) => bad_request(why),
        })?);
    }
    Ok(Json(json!({ "activity_ids": ids })))
}

async fn cancel(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer<CancelReport> {
    let Cancel { activity_ids } = read(&body)?;
    Ok(Json(decider::cancel(&hub, activity_ids)))
}

async fn tasks(
    State(hub): State<Arc<Hub>>,
    Query(filter): Query<TaskFilter>,
) -> Json<Vec<TaskRecord>> {
    Json(hub.records(|record| {
        filter.state.is_none_or(|state| state == record.state)
            && filter
                .task_list
                .as_deref()
                .is_none_or(|list| list == record.task_list)
    }))
}

async fn executions(State(hub): State<Arc<Hub>>) -> Json<Vec<ExecutionRecord>> {
    Json(hub.executions())
}

async fn summary(
    State(hub): State<Arc<Hub>>,
    Query(filter): Query<SummaryFilter>,
) -> Json<Summary> {
    Json(hub.summary(filter.task_list.as_deref()))
}

async fn rates(State(hub): State<Arc<Hub>>, Query(of): Query<RatesOf>) -> Answer<Rates> {
    let rates = decider::rates(&hub, &of.action);
    rates.map(Json).map_err(bad_request)
}

async fn faults(State(hub): State<Arc<Hub>>) -> Json<Vec<FaultRule>> {
    Json(hub.faults.rules())
}

async fn add_faults(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer<Vec<FaultRule>> {
    decider::add_faults(&hub, read_many(&body)?).map_err(bad_request)?;
    Ok(Json(hub.faults.rules()))
}

async fn clear_faults(State(hub): State<Arc<Hub>>) -> StatusCode {
    hub.faults.clear();
    StatusCode::NO_CONTENT
}

async fn throttle(State(hub): State<Arc<Hub>>, body: Bytes) -> Answer<Vec<Throttle>> {
    let throttles = read_many(&body)?;
    decider::set_throttles(&hub, &throttles).map_err(bad_request)?;
    Ok(Json(throttles))
}

async fn clear_throttles(State(hub): State<Arc<Hub>>) -> StatusCode {
    hub.throttles.clear();
    StatusCode::NO_CONTENT
}

async fn reset(State(hub): State<Arc<Hub>>) -> StatusCode {
    hub.reset();
    StatusCode::NO_CONTENT
}

async fn nothing_here() -> Refusal {
    let error = "no such path; the README of activity-sim lists the calls under /_sim/";
    (StatusCode::NOT_FOUND, Json(json!({ "error": error })))
}

/// Reads a body of any content type, so that a call with curl needs none.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(bad_request)
}

/// Reads one object or an array of objects.
fn read_many<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, Refusal> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        read(body)
    } else {
        read(body).map(|one| vec![one])
    }
}

fn bad_request(problem: impl ToString) -> Refusal {
    (
        StatusCode::BAD_REQUEST,
        Json(json!({ "error": problem.to_string() })),
    )
}

fn no_domain(domain: &str, why: Unusable) -> Refusal {
    let error = match why {
        Unusable::Unknown => {
            format!("no domain {domain:?}; add it with POST /_sim/domains {{\"name\": {domain:?}}}")
        }
        Unusable::Forbidden => format!("the domain {domain:?} is forbidden by POST /_sim/forbid"),
    };
    (StatusCode::NOT_FOUND, Json(json!({ "error": error })))
}

fn no_activity(arn: &str) -> Refusal {
    let error =
        format!("no activity {arn:?}; create it with POST /_sim/activities {{\"name\": …}}");
    (StatusCode::NOT_FOUND, Json(json!({ "error": error })))
}
