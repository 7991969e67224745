//! The effect of each action.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    clock::millis,
    hub::{Hub, PollStart, State},
    model::STATES,
    registry::{Activity, Unusable},
    sfn::{action::SfnAction, request::Request},
    wire::{
        Begun, Fault,
        token::{self, Issuer, Token},
        written,
    },
    world::{Handout, Heartbeat, Outcome, Refused, TaskNo},
};

/// Validates a request and lets it take effect.
pub(super) fn execute(
    hub: &Arc<Hub>,
    action: SfnAction,
    request: Request,
    by: Option<String>,
) -> Result<Begun, Fault> {
    match action {
        SfnAction::DescribeActivity => describe(hub, action, &request),
        SfnAction::GetActivityTask => poll(hub, action, request),
        SfnAction::SendTaskHeartbeat | SfnAction::SendTaskSuccess | SfnAction::SendTaskFailure => {
            token_call(hub, action, request, by)
        }
    }
}

/// The answer that hands out a task.
pub(super) fn task_body(nonce: u64, handout: &Handout) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        task_token: String,
        input: Option<&'a str>,
    }
    written(&Body {
        task_token: token::encode(Issuer::StepFunctions, nonce, handout.task),
        input: handout.input.as_deref(),
    })
}

fn describe(hub: &Hub, action: SfnAction, request: &Request) -> Result<Begun, Fault> {
    let arn = request.activity_arn()?;
    let described = hub.read(|state| {
        let activity = usable(state, action, arn)?;
        Ok(json!({
            "activityArn": arn,
            "name": activity.name,
            // The service writes times as Unix seconds.
            "creationDate": millis(activity.created) as f64 / 1_000.0,
        }))
    })?;
    Ok(Begun::reply(&described))
}

fn poll(hub: &Arc<Hub>, action: SfnAction, request: Request) -> Result<Begun, Fault> {
    let arn = request.activity_arn()?;
    request.check_worker_name()?;
    let place = |state: &mut State| {
        usable(state, action, arn)?;
        Ok(state.world.queue(STATES, arn))
    };
    match hub.poll(place, request.worker_name.clone())? {
        PollStart::Task(delivery) => Ok(Begun::Task(delivery)),
        PollStart::Waiting(answer) => Ok(Begun::Waiting(answer)),
        PollStart::TooMany => Err(Fault::activity_worker_limit_exceeded(arn)),
    }
}

/// Checks the limits first, then the token, then whether the output is JSON, then the task.
fn token_call(
    hub: &Arc<Hub>,
    action: SfnAction,
    request: Request,
    by: Option<String>,
) -> Result<Begun, Fault> {
    let token = request.token()?;
    let success = action == SfnAction::SendTaskSuccess;
    let failure = action == SfnAction::SendTaskFailure;
    if success {
        request.check_output_length()?;
    }
    if failure {
        request.check_failure()?;
    }
    let task = match token::decode(Issuer::StepFunctions, hub.nonce, token) {
        Token::Task(task) => task,
        Token::Foreign => return Err(Fault::task_does_not_exist()),
        Token::Invalid => return Err(Fault::invalid_token()),
    };
    if success {
        request.check_output()?;
    }
    let Request {
        output,
        error,
        cause,
        ..
    } = request;
    hub.act(|state, now| {
        check_access(state, action, task)?;
        let settled = if success {
            let outcome = Outcome::Completed { result: output };
            state.world.settle(now, task, outcome)
        } else if failure {
            let outcome = Outcome::Failed {
                reason: error,
                details: cause,
            };
            state.world.settle(now, task, outcome)
        } else {
            let heartbeat = Heartbeat { by, details: None };
            state.world.heartbeat(now, task, heartbeat).map(|_| ())
        };
        settled.map_err(refusal)
    })?;
    Ok(Begun::reply(&json!({})))
}

/// The activity, if the caller may use it.
fn usable<'a>(state: &'a State, action: SfnAction, arn: &str) -> Result<&'a Activity, Fault> {
    state.activities.usable(arn).map_err(|why| match why {
        Unusable::Unknown => Fault::activity_does_not_exist(arn),
        Unusable::Forbidden => Fault::access_denied(action.name(), arn),
    })
}

/// Whether the caller may use the activity of this task. A forbidden activity refuses its tokens too.
fn check_access(state: &State, action: SfnAction, task: TaskNo) -> Result<(), Fault> {
    let place = state.world.place_of(task);
    place.map_or(Ok(()), |(_, arn)| usable(state, action, arn).map(|_| ()))
}

fn refusal(refused: Refused) -> Fault {
    match refused {
        Refused::Unknown => Fault::task_does_not_exist(),
        // Step Functions has no request to cancel.
        Refused::Closed | Refused::CancelNotRequested => Fault::task_timed_out(),
    }
}
