//! `POST /parked`, on the local socket alone: what `activity-bridge parked` asks for.

use super::{
    caller::Caller,
    release::{Refusal, Releaser},
};
use crate::settle::parked::{self, MAX_READ, Which};
use axum::{
    Json,
    extract::{Extension, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::timeout};
use tracing::info;

/// Timeout for the answer. What was begun goes on after it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What a person asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct ParkedRequest {
    /// The kind and place of the token store that the person means.
    pub store: String,
    /// What to do.
    pub verb: ParkedVerb,
}

/// What to do with parked messages.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParkedVerb {
    /// List this number of messages at most, the oldest first.
    List {
        /// Maximum number of messages.
        limit: u16,
        /// A text that the reason contains.
        because: Option<String>,
    },
    /// Show one message.
    Show(String),
    /// Answer with the body of one message, and nothing else.
    Body(String),
    /// Read replies once more.
    Replay(Which),
    /// Delete messages.
    Drop(Which),
}

pub(super) async fn post(
    State(releaser): State<Releaser>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ParkedRequest>,
) -> Response {
    let answered = releaser.parked(caller, request).await;
    answered.unwrap_or_else(IntoResponse::into_response)
}

impl Releaser {
    async fn parked(&self, caller: Caller, request: ParkedRequest) -> Result<Response, Refusal> {
        self.check(caller, &request.store)?;
        let verb = request.verb;
        if let ParkedVerb::Replay(_) = verb {
            self.check_running("replies can be replayed")?;
        }
        let busy = Arc::clone(&self.reads_parked).try_lock_owned();
        let busy = busy.map_err(|_| {
            let why = "somebody reads the parked messages already; try again in some seconds";
            (StatusCode::CONFLICT, why.to_owned())
        })?;
        info!(user = caller.user, ?verb, "a person reads parked messages");
        let (answer, answered) = oneshot::channel();
        let releaser = self.clone();
        // The person may leave meanwhile. Nothing is left half done.
        self.bridge
            .supervisor
            .spawn("a reading of parked messages", async move {
                let done = releaser.do_with_parked(verb).await;
                drop(busy);
                drop(answer.send(done));
            });
        match timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) | Err(_) => {
                let why = "not done in time; see activity-bridge parked list";
                Err((StatusCode::GATEWAY_TIMEOUT, why.to_owned()))
            }
        }
    }

    async fn do_with_parked(&self, verb: ParkedVerb) -> Result<Response, Refusal> {
        let bridge = &self.bridge;
        let unread = |why| (StatusCode::BAD_GATEWAY, why);
        let missing = |id: &str| {
            let why = format!(
                "no parked message {id} among the first {MAX_READ} that nobody else has; see activity-bridge parked list"
            );
            (StatusCode::UNPROCESSABLE_ENTITY, why)
        };
        let response = match verb {
            ParkedVerb::List { limit, because } => {
                let listed = parked::list(bridge, limit, because.as_deref()).await;
                Json(listed.map_err(unread)?).into_response()
            }
            ParkedVerb::Show(id) => {
                let found = parked::find(bridge, &id).await.map_err(unread)?;
                let found = found.ok_or_else(|| missing(&id))?;
                Json(parked::content(&found)).into_response()
            }
            ParkedVerb::Body(id) => {
                let found = parked::find(bridge, &id).await.map_err(unread)?;
                found.ok_or_else(|| missing(&id))?.body.into_response()
            }
            ParkedVerb::Replay(which) => {
                let results = parked::replay(bridge, &which).await.map_err(unread)?;
                match (&which, &results.messages[..]) {
                    (Which::One(id), []) => return Err(missing(id)),
                    _ => Json(results).into_response(),
                }
            }
            ParkedVerb::Drop(which) => {
                let results = parked::delete(bridge, &which).await.map_err(unread)?;
                match (&which, &results.messages[..]) {
                    (Which::One(id), []) => return Err(missing(id)),
                    _ => Json(results).into_response(),
                }
            }
        };
        Ok(response)
    }
}
