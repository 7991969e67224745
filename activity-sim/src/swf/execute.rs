//! The effect of each action.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    hub::{Hub, PollStart, State},
    model::ActivityType,
    swf::{
        access::{check_access, usable},
        action::SwfAction,
        history, limits,
        request::{Count, DescribeActivityType, Poll, Request, TokenCall, check_place},
    },
    wire::{
        Begun, Fault,
        limits::optional,
        put,
        token::{self, Issuer, Token},
        written,
    },
    world::{Handout, Heartbeat, Outcome, Refused, TaskNo},
};

/// Validates a request and lets it take effect.
pub(super) fn execute(
    hub: &Arc<Hub>,
    action: SwfAction,
    request: Request,
    by: Option<String>,
) -> Result<Begun, Fault> {
    match request {
        Request::Poll(request) => poll(hub, request),
        Request::Token(request) => token_call(hub, action, request, by),
        Request::Count(request) => count(hub, &request),
        Request::History(request) => history::get(hub, &request),
        Request::DescribeActivityType(request) => describe_type(hub, &request),
    }
}

/// The answer that hands out a task.
pub(super) fn task_body(nonce: u64, handout: &Handout) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        task_token: String,
        activity_id: &'a str,
        started_event_id: u32,
        workflow_execution: Execution<'a>,
        activity_type: &'a ActivityType,
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<&'a str>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Execution<'a> {
        workflow_id: &'a str,
        run_id: &'a str,
    }
    let body = Body {
        task_token: token::encode(Issuer::Swf, nonce, handout.task),
        activity_id: &handout.activity_id,
        started_event_id: handout.started_event,
        workflow_execution: Execution {
            workflow_id: &handout.execution.workflow_id,
            run_id: &handout.execution.run_id,
        },
        activity_type: &handout.activity_type,
        input: handout.input.as_deref(),
    };
    written(&body)
}

fn poll(hub: &Arc<Hub>, request: Poll) -> Result<Begun, Fault> {
    let (domain, list) = check_place(request.domain.as_deref(), request.task_list.as_ref())?;
    optional(request.identity.as_deref(), "identity", limits::NAME)?;
    let place = |state: &mut State| {
        usable(state, domain)?;
        Ok(state.world.queue(domain, list))
    };
    match hub.poll(place, request.identity)? {
        PollStart::Task(delivery) => Ok(Begun::Task(delivery)),
        PollStart::Waiting(answer) => Ok(Begun::Waiting(answer)),
        PollStart::TooMany => Err(Fault::limit_exceeded(
            "Too many concurrent polls for this task list in the domain",
        )),
    }
}

fn token_call(
    hub: &Arc<Hub>,
    action: SwfAction,
    request: TokenCall,
    by: Option<String>,
) -> Result<Begun, Fault> {
    let task = match token::decode(Issuer::Swf, hub.nonce, request.check(action)?) {
        Token::Task(task) => task,
        Token::Foreign => return Err(Fault::unknown_resource("Unknown activity")),
        Token::Invalid => return Err(Fault::validation("Invalid token")),
    };
    let TokenCall {
        details,
        result,
        reason,
        ..
    } = request;
    let outcome = match action {
        SwfAction::RespondActivityTaskCompleted => Outcome::Completed { result },
        SwfAction::RespondActivityTaskFailed => Outcome::Failed { reason, details },
        SwfAction::RespondActivityTaskCanceled => Outcome::Canceled { details },
        _ => return heartbeat(hub, task, Heartbeat { by, details }),
    };
    hub.act(|state, now| {
        check_access(state, task)?;
        state
            .world
            .settle(now, task, outcome)
            .map_err(|refused| refusal(state, task, refused))
    })?;
    // The service sends no body.
    Ok(Begun::Reply(Vec::new()))
}

fn heartbeat(hub: &Arc<Hub>, task: TaskNo, heartbeat: Heartbeat) -> Result<Begun, Fault> {
    let cancel_requested = hub.act(|state, now| {
        check_access(state, task)?;
        let answer = state.world.heartbeat(now, task, heartbeat);
        answer.map_err(|refused| refusal(state, task, refused))
    })?;
    let body: &[u8] = match cancel_requested {
        true => br#"{"cancelRequested":true}"#,
        false => br#"{"cancelRequested":false}"#,
    };
    Ok(Begun::Reply(body.to_vec()))
}

fn count(hub: &Hub, request: &Count) -> Result<Begun, Fault> {
    let (domain, list) = check_place(request.domain.as_deref(), request.task_list.as_ref())?;
    let count = hub.read(|state| {
        usable(state, domain)?;
        Ok(state.world.waiting(domain, list))
    })?;
    Ok(Begun::reply(&json!({ "count": count, "truncated": false })))
}

fn describe_type(hub: &Hub, request: &DescribeActivityType) -> Result<Begun, Fault> {
    let (domain, name, version) = request.check()?;
    let wanted = ActivityType::new(name, version);
    let found = hub.read(|state| {
        let found = usable(state, domain)?.find(&wanted).cloned();
        found.ok_or_else(|| {
            let what = format!("Unknown type: ActivityType=[name={name}, version={version}]");
            Fault::unknown_resource(what)
        })
    })?;
    let info = json!({
        "activityType": found.activity_type,
        "status": "REGISTERED",
        "creationDate": found.created,
    });
    let mut configuration = json!({});
    let defaults = found.defaults;
    for (key, span) in [
        ("defaultTaskStartToCloseTimeout", defaults.start_to_close),
        ("defaultTaskHeartbeatTimeout", defaults.heartbeat),
        (
            "defaultTaskScheduleToStartTimeout",
            defaults.schedule_to_start,
        ),
        (
            "defaultTaskScheduleToCloseTimeout",
            defaults.schedule_to_close,
        ),
    ] {
        let seconds = span.map(|span| span.as_secs().to_string());
        put(&mut configuration, key, seconds.as_deref());
    }
    Ok(Begun::reply(
        &json!({ "typeInfo": info, "configuration": configuration }),
    ))
}

fn refusal(state: &State, task: TaskNo, refused: Refused) -> Fault {
    match refused {
        Refused::Unknown | Refused::Closed => {
            let id = state.world.activity_id(task);
            Fault::unknown_resource(format!("Unknown activity: {id}"))
        }
        Refused::CancelNotRequested => {
            Fault::validation("Cancellation of the activity task was not requested")
        }
    }
}
