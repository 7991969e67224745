//! GetWorkflowExecutionHistory: the events of activity tasks in the form of the service.

use serde_json::{Value, json};

use crate::{
    clock::{Micros, millis},
    hub::Hub,
    swf::{access::usable, request::GetHistory},
    wire::{Begun, Fault, put},
    world::{DECISION_COMPLETED, Event, EventKind, NewTask, Outcome, Page},
};

pub(super) fn get(hub: &Hub, request: &GetHistory) -> Result<Begun, Fault> {
    let (domain, workflow_id, run_id, size) = request.check()?;
    let reverse = request.reverse_order.unwrap_or(false);
    // A page token is valid only for the run and the order of its page.
    let token_of = format!("{run_id}{}", if reverse { '-' } else { '+' });
    let (events, next) = hub.read(|state| {
        usable(state, domain)?;
        let found = state.world.find_execution(domain, workflow_id, run_id);
        let execution = found.ok_or_else(|| {
            Fault::unknown_resource(format!(
                "Unknown execution: WorkflowExecution=[workflowId={workflow_id}, runId={run_id}]"
            ))
        })?;
        let from = match &request.next_page_token {
            None => None,
            Some(token) => Some(page_start(token, &token_of)?),
        };
        let page = Page {
            from,
            reverse,
            size,
        };
        Ok(state.world.history(execution, page))
    })?;
    let events: Vec<_> = events.into_iter().map(event).collect();
    let next = next.map(|id| format!("{token_of}{id}"));
    let mut body = json!({ "events": events });
    put(&mut body, "nextPageToken", next.as_deref());
    Ok(Begun::reply(&body))
}

fn page_start(token: &str, token_of: &str) -> Result<u32, Fault> {
    let id = token.strip_prefix(token_of).and_then(|id| id.parse().ok());
    id.ok_or_else(|| Fault::validation("Invalid token"))
}

fn event(event: Event) -> Value {
    let (what, attributes) = match event.kind {
        EventKind::Scheduled {
            activity_id,
            task_list,
            new,
        } => ("Scheduled", scheduled(&activity_id, &task_list, &new)),
        EventKind::Started {
            scheduled,
            identity,
        } => {
            let mut attributes = json!({ "scheduledEventId": scheduled });
            put(&mut attributes, "identity", identity.as_deref());
            ("Started", attributes)
        }
        EventKind::Closed {
            scheduled,
            started,
            outcome,
            last_details,
        } => {
            let (what, mut attributes) = closed(&outcome, last_details.as_deref());
            attributes["scheduledEventId"] = json!(scheduled);
            attributes["startedEventId"] = json!(started);
            (what, attributes)
        }
    };
    let attributes_of = format!("activityTask{what}EventAttributes");
    json!({
        "eventId": event.id,
        "eventTimestamp": millis(event.at) as f64 / 1_000.0,
        "eventType": format!("ActivityTask{what}"),
        attributes_of: attributes,
    })
}

fn scheduled(activity_id: &str, task_list: &str, new: &NewTask) -> Value {
    let spans = new.spans;
    let mut attributes = json!({
        "activityId": activity_id,
        "activityType": *new.activity_type,
        "taskList": { "name": task_list },
        "scheduleToStartTimeout": seconds(spans.schedule_to_start),
        "startToCloseTimeout": seconds(spans.start_to_close),
        "scheduleToCloseTimeout": seconds(spans.schedule_to_close),
        "heartbeatTimeout": seconds(spans.heartbeat),
        "decisionTaskCompletedEventId": DECISION_COMPLETED,
    });
    put(&mut attributes, "input", new.input.as_deref());
    attributes
}

/// Seconds as the service writes them, for instance `30`. Only the simulator has fractions: `0.5`.
fn seconds(span: Option<Micros>) -> String {
    span.map_or_else(|| "NONE".to_owned(), |span| (span as f64 / 1e6).to_string())
}

fn closed(outcome: &Outcome, last_details: Option<&str>) -> (&'static str, Value) {
    let mut attributes = json!({});
    let mut put = |key, value: Option<&str>| put(&mut attributes, key, value);
    let what = match outcome {
        Outcome::Completed { result } => {
            put("result", result.as_deref());
            "Completed"
        }
        Outcome::Failed { reason, details } => {
            put("reason", reason.as_deref());
            put("details", details.as_deref());
            "Failed"
        }
        Outcome::Canceled { details } => {
            put("details", details.as_deref());
            "Canceled"
        }
        Outcome::TimedOut(timeout) => {
            put("details", last_details);
            attributes["timeoutType"] = json!(timeout);
            "TimedOut"
        }
    };
    (what, attributes)
}
