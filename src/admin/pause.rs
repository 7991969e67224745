//! `POST /pause`, on the local socket alone: what `activity-bridge pause` and `activity-bridge resume` of a route ask for.

use super::{
    caller::Caller,
    release::{Refusal, Releaser},
};
use axum::{
    Json,
    extract::{Extension, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tracing::info;

/// What a person asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct PauseRequest {
    /// The kind and place of the token store that the person means.
    pub store: String,
    /// The name of the route.
    pub route: String,
    /// Whether the route shall be paused. Otherwise it shall poll again.
    pub pauses: bool,
}

pub(super) async fn post(
    State(releaser): State<Releaser>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<PauseRequest>,
) -> Response {
    releaser.pause(caller, &request).into_response()
}

impl Releaser {
    /// The answer is a sentence for the person.
    fn pause(&self, caller: Caller, request: &PauseRequest) -> Result<String, Refusal> {
        self.check(caller, &request.store)?;
        let route = self.route(&request.route);
        let route = route.map_err(|why| (StatusCode::UNPROCESSABLE_ENTITY, why))?;
        let (name, user) = (route.name(), caller.user);
        let changed = route.set_paused(request.pauses);
        let (tasks, polls) = (route.slots.in_use(), route.open_polls.number());
        Ok(match (request.pauses, changed) {
            (true, true) => {
                info!(route = name, user, "an operator pauses a route");
                let in_flight = tasks.saturating_sub(polls);
                format!(
                    "route {name} is paused until activity-bridge resume {name}, or until the bridge starts again; tasks in flight, which go \
                     on: {in_flight}, open polls, each of which may still bring one: {polls}"
                )
            }
            (true, false) => format!("route {name} was paused already"),
            (false, true) => {
                info!(route = name, user, "an operator resumes a route");
                format!("route {name} takes tasks again")
            }
            (false, false) => format!("route {name} was not paused"),
        })
    }
}
