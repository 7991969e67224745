//! `/reload` on the local socket: the process reads its configuration again.

use super::caller::{Caller, REFUSED};
use crate::process::reload::{ReloadRefusal, ReloadSwitch};
use axum::{
    Json,
    extract::{Extension, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

/// `POST /reload`. It waits for the end of the reload. The answer is a [`ReloadReport`]; 422 with the problems of the configuration; 409
/// with the reason where nothing can be changed now.
///
/// [`ReloadReport`]: crate::process::reload::ReloadReport
pub(super) async fn post(
    State(switch): State<ReloadSwitch>,
    Extension(caller): Extension<Caller>,
) -> Response {
    if !caller.may_know_ids {
        return (StatusCode::FORBIDDEN, REFUSED).into_response();
    }
    match switch.reload().await {
        Ok(report) => Json(report).into_response(),
        Err(ReloadRefusal::Invalid(why)) => (StatusCode::UNPROCESSABLE_ENTITY, why).into_response(),
        Err(ReloadRefusal::NotNow(why)) => (StatusCode::CONFLICT, why).into_response(),
    }
}
