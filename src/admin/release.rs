//! `POST /release`, on the local socket alone: what `activity-bridge release` asks for.

use super::caller::{Caller, REFUSED};
use crate::{
    context::Bridge,
    inflight::Listed,
    intake::release::{ReleaseResult, Remedy, release},
    phase::Phase,
    route::Route,
};
use axum::{
    Json,
    extract::{Extension, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, oneshot, watch},
    time::timeout,
};

/// Maximum size of a request, in bytes.
pub(super) const MAX_REQUEST_BYTES: usize = 64 << 10;

/// Timeout for the results. What was begun goes on after it.
const RESULTS_TIMEOUT: Duration = Duration::from_secs(25);

/// Minimum number of digits that name a task: as many as the log shows.
const SHORT_ID_DIGITS: usize = 8;

/// What a person asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReleaseRequest {
    /// The kind and place of the token store that the person means.
    pub store: String,
    /// The tasks.
    pub target: Target,
    /// What to do with them.
    pub remedy: Remedy,
}

/// The tasks that a person names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// All tasks of this route.
    Route(String),
    /// The task with this id, or whose id begins so.
    Task(String),
}

/// What became of the tasks, the oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Releases {
    /// The process that had the tasks.
    pub owner: String,
    /// The kind and place of its token store.
    pub store: String,
    /// The tasks.
    pub tasks: Vec<ReleasedTask>,
}

/// What became of a task.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReleasedTask {
    /// The whole id.
    pub id: String,
    /// The beginning of the id, as the log shows it.
    pub short_id: String,
    /// The name of the route.
    pub route: String,
    /// What became of it.
    pub result: ReleaseResult,
}

/// What the requests share.
#[derive(Clone)]
pub(super) struct Releaser {
    pub(super) bridge: Arc<Bridge>,
    pub(super) phase: watch::Receiver<Phase>,
    /// The kind and place of the token store.
    pub(super) store: Arc<str>,
    /// Held by the release that is under way.
    pub(super) busy: Arc<Mutex<()>>,
    /// Held by the reading of parked messages that is under way.
    pub(super) reads_parked: Arc<Mutex<()>>,
}

pub(super) type Refusal = (StatusCode, String);

pub(super) async fn post(
    State(releaser): State<Releaser>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ReleaseRequest>,
) -> Response {
    match releaser.release(caller, request).await {
        Ok(releases) => Json(releases).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

impl Releaser {
    /// Refuses somebody else, and a person who means another bridge.
    pub(super) fn check(&self, caller: Caller, theirs: &str) -> Result<(), Refusal> {
        if !caller.may_know_ids {
            return Err((StatusCode::FORBIDDEN, REFUSED.to_owned()));
        }
        let store = &*self.store;
        match theirs == store {
            true => Ok(()),
            false => Err((
                StatusCode::CONFLICT,
                format!(
                    "the bridge has the token store {store}, not {theirs}: give the configuration that it was started with"
                ),
            )),
        }
    }

    /// Refuses in other phases what changes tasks.
    pub(super) fn check_running(&self, what: &str) -> Result<(), Refusal> {
        let phase = *self.phase.borrow();
        if phase == Phase::Running {
            return Ok(());
        }
        let phase = phase.name();
        let why = format!("the bridge is in the phase {phase}; {what} while it is running");
        Err((StatusCode::CONFLICT, why))
    }

    /// The route that a person names.
    pub(super) fn route(&self, name: &str) -> Result<Arc<Route>, String> {
        self.bridge.route(name).ok_or_else(|| {
            let routes = self.bridge.routes.all();
            let names: Vec<_> = routes.iter().map(|route| route.name()).collect();
            let names = names.join(", ");
            format!("there is no route {name:?}; there are: {names}")
        })
    }

    async fn release(&self, caller: Caller, request: ReleaseRequest) -> Result<Releases, Refusal> {
        self.check(caller, &request.store)?;
        self.check_running("tasks can be released")?;
        let busy = Arc::clone(&self.busy).try_lock_owned().map_err(|_| {
            let why = "another release is under way; try again when it has ended";
            (StatusCode::CONFLICT, why.to_owned())
        })?;
        let tasks = self.select(&request.target);
        let tasks = tasks.map_err(|why| (StatusCode::UNPROCESSABLE_ENTITY, why))?;
        let (answer, answered) = oneshot::channel();
        let bridge = Arc::clone(&self.bridge);
        // The person may leave meanwhile. What was asked for is done all the same.
        self.bridge.supervisor.spawn("a release", async move {
            let results = release(&bridge, &tasks, &request.remedy).await;
            drop(busy);
            drop(answer.send((tasks, results)));
        });
        match timeout(RESULTS_TIMEOUT, answered).await {
            Ok(Ok((tasks, results))) => Ok(self.releases(&tasks, &results)),
            Ok(Err(_)) | Err(_) => {
                let secs = RESULTS_TIMEOUT.as_secs();
                let why = format!(
                    "not done within {secs} s; the bridge goes on: see its log, and activity-bridge tasks"
                );
                Err((StatusCode::GATEWAY_TIMEOUT, why))
            }
        }
    }

    /// The tasks that a person names, the oldest first.
    fn select(&self, target: &Target) -> Result<Vec<Listed>, String> {
        let mut tasks = self.bridge.inflight.list();
        match target {
            Target::Route(name) => {
                let route = self.route(name)?;
                tasks.retain(|task| task.route.name() == route.name());
            }
            Target::Task(id) => {
                let digits = digits(id)?;
                tasks.retain(|task| task.id.reveal().starts_with(&digits));
                match tasks.len() {
                    0 => return Err(self.unknown(id)),
                    1 => {}
                    count => {
                        return Err(format!(
                            "the ids of {count} tasks begin with {id}: give the whole id, which activity-bridge tasks shows"
                        ));
                    }
                }
            }
        }
        tasks.sort_unstable_by_key(|task| (Reverse(task.age), task.id));
        Ok(tasks)
    }

    fn unknown(&self, id: &str) -> String {
        let elsewhere = match self.bridge.store.shared() {
            Some(_) => ": it has ended, or another process has it; ask that one (OWNER)",
            None => ": it has ended",
        };
        format!("this bridge has no task {id}{elsewhere}; see activity-bridge tasks")
    }

    fn releases(&self, tasks: &[Listed], results: &[ReleaseResult]) -> Releases {
        let released = tasks.iter().zip(results);
        let released = released.map(|(task, result)| ReleasedTask {
            id: task.id.reveal(),
            short_id: task.id.to_string(),
            route: task.route.name().to_owned(),
            result: *result,
        });
        Releases {
            owner: self.bridge.store.owner().to_owned(),
            store: (*self.store).to_owned(),
            tasks: released.collect(),
        }
    }
}

/// The digits of an id that a person gives, perhaps written as a UUID, or of its beginning.
fn digits(id: &str) -> Result<String, String> {
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    let digits = digits.to_ascii_lowercase();
    let is_id = digits.len() >= SHORT_ID_DIGITS && digits.chars().all(|c| c.is_ascii_hexdigit());
    is_id.then_some(digits).ok_or_else(|| {
        format!(
            "{id:?} is no task: give its id, or the first {SHORT_ID_DIGITS} digits of it or more"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_named_by_its_id_or_by_the_digits_that_the_log_shows() {
        for (id, expected) in [
            ("0123abcd", "0123abcd"),
            ("0123ABCD-4567", "0123abcd4567"),
            (
                "01234567-89ab-cdef-0123-456789abcdef",
                "0123456789abcdef0123456789abcdef",
            ),
        ] {
            assert_eq!(digits(id).as_deref(), Ok(expected), "{id}");
        }
        for id in [
            "",
            "0123abc",
            "0123abc-",
            "0123abcg",
            "payments",
            "0123 abcd",
        ] {
            let refused = digits(id).expect_err("no id");
            assert!(refused.contains("the first 8 digits"), "{refused}");
        }
    }

    #[test]
    fn a_request_is_written_as_machines_rely_on() {
        let request = ReleaseRequest {
            store: "memory".to_owned(),
            target: Target::Route("payments".to_owned()),
            remedy: Remedy::Fail("purged".to_owned()),
        };
        let json = serde_json::to_value(&request).expect("JSON");
        let expected = serde_json::json!({
            "store": "memory", "target": {"route": "payments"}, "remedy": {"fail": "purged"},
        });
        assert_eq!(json, expected);
    }
}
