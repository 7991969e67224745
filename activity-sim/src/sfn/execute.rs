//! What each action does.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    activities::Activity,
    arn,
    clock::{Micros, millis},
    hub::{Hub, PollStart, State},
    model::STATES,
    record::ExecutionRecord,
    registry::Unusable,
    sfn::{SfnAction, request::Request},
    wire::{
        Action, Begun, Fault, put,
        token::{self, Issuer, Token},
        written,
    },
    world::{Beat, ExecutionNo, Failure, Handout, Outcome, Refused, TaskNo},
};

/// Validates a request and carries it out.
pub(super) fn execute(
    hub: &Arc<Hub>,
    action: SfnAction,
    request: Request,
    by: Option<String>,
) -> Result<Begun, Fault> {
    match action {
        SfnAction::CreateActivity => create(hub, action, &request),
        SfnAction::DescribeActivity => describe(hub, action, &request),
        SfnAction::ListActivities => Ok(list(hub)),
        SfnAction::GetActivityTask => poll(hub, action, request),
        SfnAction::SendTaskHeartbeat | SfnAction::SendTaskSuccess | SfnAction::SendTaskFailure => {
            token_call(hub, action, request, by)
        }
        SfnAction::DescribeExecution => describe_execution(hub, action, &request),
        SfnAction::StopExecution => stop_execution(hub, action, request),
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

fn create(hub: &Arc<Hub>, action: SfnAction, request: &Request) -> Result<Begun, Fault> {
    let name = request.name()?;
    let created = hub.act(|state, now| {
        let arn = state.activities.create(name, now);
        let activity = usable(state, action, &arn)?;
        Ok(json!({ "activityArn": arn, "creationDate": date(activity.created) }))
    })?;
    Ok(Begun::reply(&created))
}

fn describe(hub: &Hub, action: SfnAction, request: &Request) -> Result<Begun, Fault> {
    let arn = request.activity_arn()?;
    let described = hub.look(|state| Ok(info(arn, usable(state, action, arn)?)))?;
    Ok(Begun::reply(&described))
}

/// All on one page.
fn list(hub: &Hub) -> Begun {
    let activities: Vec<Value> = hub.look(|state| {
        let activities = state.activities.iter();
        activities
            .map(|(arn, activity)| info(arn, activity))
            .collect()
    });
    Begun::reply(&json!({ "activities": activities }))
}

fn info(arn: &str, activity: &Activity) -> Value {
    json!({
        "activityArn": arn,
        "name": activity.name,
        "creationDate": date(activity.created),
    })
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
        PollStart::Held(answer) => Ok(Begun::Held(answer)),
        PollStart::TooMany => Err(Fault::activity_worker_limit_exceeded(arn)),
    }
}

/// Limits come first, then what the token is, then whether the output is JSON, then the task.
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
        permitted(state, action, task)?;
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
            let beat = Beat { by, details: None };
            state.world.heartbeat(now, task, beat).map(|_| ())
        };
        settled.map_err(refusal)
    })?;
    Ok(Begun::reply(&json!({})))
}

fn describe_execution(hub: &Hub, action: SfnAction, request: &Request) -> Result<Begun, Fault> {
    let arn = request.execution_arn()?;
    let (_, record) = hub.look(|state| execution(state, action, arn))?;
    let mut body = json!({
        "executionArn": record.arn,
        "stateMachineArn": arn::state_machine(arn::name_of(&record.activity_arn)),
        "name": record.name,
        "status": record.status,
        "startDate": record.started_ms as f64 / 1_000.0,
    });
    if let Some(stopped) = record.stopped_ms {
        body["stopDate"] = json!(stopped as f64 / 1_000.0);
    }
    for (key, value) in [
        ("input", &record.input),
        ("output", &record.output),
        ("error", &record.error),
        ("cause", &record.cause),
    ] {
        put(&mut body, key, value.as_deref());
    }
    Ok(Begun::reply(&body))
}

fn stop_execution(hub: &Arc<Hub>, action: SfnAction, request: Request) -> Result<Begun, Fault> {
    let arn = request.execution_arn()?;
    request.check_failure()?;
    let why = Failure {
        error: request.error.clone(),
        cause: request.cause.clone(),
    };
    let stopped = hub.act(|state, now| {
        let (no, _) = execution(state, action, arn)?;
        let stopped = state.world.stop_execution(now, no, why);
        stopped.ok_or_else(|| Fault::execution_does_not_exist(arn))
    })?;
    Ok(Begun::reply(&json!({ "stopDate": date(stopped) })))
}

fn execution(
    state: &State,
    action: SfnAction,
    arn: &str,
) -> Result<(ExecutionNo, ExecutionRecord), Fault> {
    let found = state.world.execution_of(arn);
    let found = found.and_then(|no| Some((no, state.world.execution_record(no)?)));
    let (no, record) = found.ok_or_else(|| Fault::execution_does_not_exist(arn))?;
    usable(state, action, &record.activity_arn)?;
    Ok((no, record))
}

fn usable<'a>(state: &'a State, action: SfnAction, arn: &str) -> Result<&'a Activity, Fault> {
    state.activities.usable(arn).map_err(|why| match why {
        Unusable::Unknown => Fault::activity_does_not_exist(arn),
        Unusable::Forbidden => Fault::access_denied(action.name(), arn),
    })
}

/// An activity that is forbidden is so for its tokens too.
fn permitted(state: &State, action: SfnAction, task: TaskNo) -> Result<(), Fault> {
    let place = state.world.place_of(task);
    place.map_or(Ok(()), |(_, arn)| usable(state, action, arn).map(|_| ()))
}

fn refusal(refused: Refused) -> Fault {
    match refused {
        Refused::Unknown => Fault::task_does_not_exist(),
        // Nobody can be canceled here.
        Refused::Closed | Refused::CancelNotRequested => Fault::task_timed_out(),
    }
}

/// As the service writes times: Unix seconds.
fn date(at: Micros) -> f64 {
    millis(at) as f64 / 1_000.0
}
