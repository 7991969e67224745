//! What each action does.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    hub::{Hub, PollStart, State},
    model::ActivityType,
    registry::{Domain, RegisteredType, Unusable},
    swf::{
        SwfAction, history, limits,
        request::{
            Count, DescribeActivityType, DescribeDomain, ListDomains, Poll, RegisterActivityType,
            RegisterDomain, Request, TokenCall, check_place,
        },
    },
    wire::{
        Begun, Fault,
        limits::{optional, required},
        put,
        token::{self, Issuer, Token},
        written,
    },
    world::{Beat, Handout, Outcome, Refused, TaskNo},
};

/// Validates a request and carries it out.
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
        Request::RegisterDomain(request) => register_domain(hub, &request),
        Request::DescribeDomain(request) => describe_domain(hub, &request),
        Request::ListDomains(request) => list_domains(hub, &request),
        Request::RegisterActivityType(request) => register_type(hub, *request),
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
        PollStart::Held(answer) => Ok(Begun::Held(answer)),
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
        _ => return heartbeat(hub, task, Beat { by, details }),
    };
    hub.act(|state, now| {
        permitted(state, task)?;
        state
            .world
            .settle(now, task, outcome)
            .map_err(|refused| refusal(state, task, refused))
    })?;
    // The service sends no body.
    Ok(Begun::Reply(Vec::new()))
}

fn heartbeat(hub: &Arc<Hub>, task: TaskNo, beat: Beat) -> Result<Begun, Fault> {
    let cancel_requested = hub.act(|state, now| {
        permitted(state, task)?;
        let answer = state.world.heartbeat(now, task, beat);
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
    let count = hub.look(|state| {
        usable(state, domain)?;
        Ok(state.world.waiting(domain, list))
    })?;
    Ok(Begun::reply(&json!({ "count": count, "truncated": false })))
}

fn register_domain(hub: &Arc<Hub>, request: &RegisterDomain) -> Result<Begun, Fault> {
    let (name, retention) = request.check()?;
    let domain = Domain::new(request.description.clone(), retention);
    match hub.act(|state, _| state.registry.add(name, domain)) {
        true => Ok(Begun::Reply(Vec::new())),
        false => Err(Fault::domain_exists(name)),
    }
}

fn describe_domain(hub: &Hub, request: &DescribeDomain) -> Result<Begun, Fault> {
    let name = limits::name(request.name.as_deref(), "name", limits::NAME)?;
    let answer = hub.look(|state| {
        let domain = usable(state, name)?;
        Ok(json!({
            "domainInfo": domain_info(name, domain),
            "configuration": { "workflowExecutionRetentionPeriodInDays": domain.retention },
        }))
    })?;
    Ok(Begun::reply(&answer))
}

fn list_domains(hub: &Hub, request: &ListDomains) -> Result<Begun, Fault> {
    let status = request.registration_status.as_deref();
    let status = required(status, "registrationStatus", limits::NAME)?;
    // No domain is ever deprecated here.
    let infos: Vec<Value> = match status {
        "REGISTERED" => hub.look(|state| {
            state
                .registry
                .iter()
                .map(|(name, domain)| domain_info(name, domain))
                .collect()
        }),
        _ => Vec::new(),
    };
    Ok(Begun::reply(&json!({ "domainInfos": infos })))
}

fn domain_info(name: &str, domain: &Domain) -> Value {
    let arn = format!("arn:aws:swf:us-east-1:123456789012:/domain/{name}");
    let mut info = json!({ "name": name, "status": "REGISTERED", "arn": arn });
    put(&mut info, "description", domain.description.as_deref());
    info
}

fn register_type(hub: &Arc<Hub>, request: RegisterActivityType) -> Result<Begun, Fault> {
    let (domain, name, version) = request.check()?;
    let registered = RegisteredType {
        activity_type: ActivityType::new(name, version),
        description: request.description.clone(),
        task_list: request
            .default_task_list
            .as_ref()
            .and_then(|list| list.name.clone()),
        priority: request.default_task_priority.clone(),
        schedule_to_start: request.default_task_schedule_to_start_timeout.clone(),
        start_to_close: request.default_task_start_to_close_timeout.clone(),
        schedule_to_close: request.default_task_schedule_to_close_timeout.clone(),
        heartbeat: request.default_task_heartbeat_timeout.clone(),
        created: 0,
    };
    let new = hub
        .act(|state, now| {
            let registered = RegisteredType {
                created: now / 1_000_000,
                ..registered
            };
            state.registry.register(domain, registered)
        })
        .map_err(|why| no_domain(domain, why))?;
    if !new {
        return Err(Fault::type_exists(format!(
            "ActivityType=[name={name}, version={version}]"
        )));
    }
    Ok(Begun::Reply(Vec::new()))
}

fn describe_type(hub: &Hub, request: &DescribeActivityType) -> Result<Begun, Fault> {
    let (domain, name, version) = request.check()?;
    let wanted = ActivityType::new(name, version);
    let known = hub.look(|state| {
        let found = usable(state, domain)?.find(&wanted).cloned();
        found.ok_or_else(|| {
            let what = format!("Unknown type: ActivityType=[name={name}, version={version}]");
            Fault::unknown_resource(what)
        })
    })?;
    let mut info = json!({
        "activityType": known.activity_type,
        "status": "REGISTERED",
        "creationDate": known.created,
    });
    put(&mut info, "description", known.description.as_deref());
    let mut configuration = json!({});
    for (key, value) in [
        ("defaultTaskStartToCloseTimeout", &known.start_to_close),
        ("defaultTaskHeartbeatTimeout", &known.heartbeat),
        ("defaultTaskPriority", &known.priority),
        (
            "defaultTaskScheduleToStartTimeout",
            &known.schedule_to_start,
        ),
        (
            "defaultTaskScheduleToCloseTimeout",
            &known.schedule_to_close,
        ),
    ] {
        put(&mut configuration, key, value.as_deref());
    }
    if let Some(list) = &known.task_list {
        configuration["defaultTaskList"] = json!({ "name": list });
    }
    Ok(Begun::reply(
        &json!({ "typeInfo": info, "configuration": configuration }),
    ))
}

pub(super) fn usable<'a>(state: &'a State, domain: &str) -> Result<&'a Domain, Fault> {
    state
        .registry
        .domain(domain)
        .map_err(|why| no_domain(domain, why))
}

/// A domain that is forbidden is so for its tokens too.
fn permitted(state: &State, task: TaskNo) -> Result<(), Fault> {
    let domain = state.world.place_of(task).map(|(domain, _)| domain);
    domain.map_or(Ok(()), |domain| usable(state, domain).map(|_| ()))
}

fn no_domain(domain: &str, why: Unusable) -> Fault {
    match why {
        Unusable::Unknown => Fault::unknown_resource(format!("Unknown domain: {domain}")),
        Unusable::Forbidden => Fault::not_permitted(format!(
            "User is not authorized to perform this action on the domain {domain}"
        )),
    }
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
