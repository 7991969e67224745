//! What is done from outside the service's API, by the admin API and by the owner of the simulator:
//! what deciders do on the real service (domains, types, activities scheduled and canceled), and the
//! faults, throttles and rates of a test.

use std::sync::Arc;

use crate::{
    arn,
    faults::FaultRule,
    hub::{Hub, State},
    model::{ActivityType, STATES, Schedule, Throttle, Timeouts},
    record::{CancelReport, Rates},
    registry::{Domain, RegisteredType, Unusable},
    sfn::SfnAction,
    swf::SwfAction,
    wire::Action,
    world::{CancelOutcome, NewTask},
};

/// How many activities are scheduled under one hold of the lock.
const SCHEDULED_AT_ONCE: u32 = 1_000;

/// Adds a domain, unless there is one of this name.
pub(crate) fn add_domain(hub: &Arc<Hub>, name: &str) {
    hub.act(|state, _| state.registry.add(name, Domain::new(None, "7")));
}

/// Creates an activity of Step Functions, unless it exists, and returns its ARN; `None` when that is
/// no name.
pub(crate) fn create_activity(hub: &Arc<Hub>, name: &str) -> Option<String> {
    arn::is_name(name).then(|| hub.act(|state, now| state.activities.create(name, now)))
}

/// Why nothing was scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotScheduled {
    NoDomain,
    NoActivity,
    /// What was asked for does not exist there.
    Refused(&'static str),
}

/// Schedules activities; the ids are in order. Forbidding a domain does not concern deciders.
pub(crate) fn schedule(hub: &Arc<Hub>, schedule: Schedule) -> Result<Vec<String>, NotScheduled> {
    let asked = hub.look(|state| match schedule.domain.as_str() {
        STATES => state_of(state, &schedule),
        _ => task_of(state, &schedule),
    })?;
    let mut ids = Vec::with_capacity(schedule.count as usize);
    let mut left = schedule.count;
    while left > 0 {
        let portion = left.min(SCHEDULED_AT_ONCE);
        left -= portion;
        hub.act(|state, now| {
            let queue = state.world.queue(&schedule.domain, &schedule.task_list);
            for _ in 0..portion {
                let asked = asked.clone();
                let task = if schedule.domain == STATES {
                    state
                        .world
                        .start_execution(now, queue, asked, schedule.retry)
                } else {
                    let workflow_id = schedule.workflow_id.as_deref();
                    let execution = state.world.execution(&schedule.domain, workflow_id);
                    state.world.schedule(now, queue, execution, asked)
                };
                ids.push(state.world.activity_id(task));
            }
        });
    }
    Ok(ids)
}

/// A task of SWF.
fn task_of(state: &State, schedule: &Schedule) -> Result<NewTask, NotScheduled> {
    if !state.registry.knows(&schedule.domain) {
        return Err(NotScheduled::NoDomain);
    }
    if schedule.retry.is_some() {
        return Err(NotScheduled::Refused(
            "retry is only for an activity of Step Functions",
        ));
    }
    let activity_type = &schedule.activity_type;
    let defaults = state.registry.defaults(&schedule.domain, activity_type);
    Ok(NewTask {
        activity_type: Arc::new(activity_type.clone()),
        input: schedule.input.as_deref().map(Arc::from),
        spans: schedule.timeouts.or(defaults).into(),
        request_cancel: schedule.request_cancel,
    })
}

/// The one state of a state machine of Step Functions.
fn state_of(state: &State, schedule: &Schedule) -> Result<NewTask, NotScheduled> {
    let activity = state.activities.get(&schedule.task_list);
    let name = &activity.ok_or(NotScheduled::NoActivity)?.name;
    let timeouts = &schedule.timeouts;
    let refused = schedule.activity_type != ActivityType::default()
        || schedule.workflow_id.is_some()
        || schedule.request_cancel
        || timeouts.schedule_to_start.is_some()
        || timeouts.schedule_to_close.is_some();
    if refused {
        return Err(NotScheduled::Refused(
            "an activity of Step Functions has no activity_type, workflow_id, request_cancel, \
             schedule_to_start and schedule_to_close",
        ));
    }
    Ok(NewTask {
        activity_type: Arc::new(ActivityType::new(name, "")),
        input: Some(schedule.input.as_deref().unwrap_or("{}").into()),
        spans: schedule.timeouts.into(),
        request_cancel: false,
    })
}

/// Requests that activities be canceled.
pub(crate) fn cancel(hub: &Arc<Hub>, ids: impl IntoIterator<Item = String>) -> CancelReport {
    let mut report = CancelReport::default();
    hub.act(|state: &mut State, now| {
        for id in ids {
            let task = state.world.task_of(&id);
            let outcome = task.map(|task| state.world.request_cancel(now, task));
            let list = match outcome {
                Some(CancelOutcome::Requested) => &mut report.requested,
                Some(CancelOutcome::Canceled) => &mut report.canceled,
                Some(CancelOutcome::Closed) => &mut report.closed,
                Some(CancelOutcome::Unknown) | None => &mut report.unknown,
            };
            list.push(id);
        }
    });
    report
}

/// Registers an activity type with these defaults in whole seconds; `None` is not declared.
pub(crate) fn register_type(
    hub: &Arc<Hub>,
    domain: &str,
    activity_type: ActivityType,
    defaults: Timeouts,
) -> Result<bool, Unusable> {
    let text = |span: Option<std::time::Duration>| span.map(|span| span.as_secs().to_string());
    hub.act(|state, now| {
        let registered = RegisteredType {
            activity_type,
            schedule_to_start: text(defaults.schedule_to_start),
            start_to_close: text(defaults.start_to_close),
            schedule_to_close: text(defaults.schedule_to_close),
            heartbeat: text(defaults.heartbeat),
            created: now / 1_000_000,
            ..RegisteredType::default()
        };
        state.registry.register(domain, registered)
    })
}

/// Adds faults: all of them, or none and what is wrong with one.
pub(crate) fn add_faults(hub: &Hub, rules: Vec<FaultRule>) -> Result<(), String> {
    for rule in &rules {
        check_action(&rule.action)?;
        if !(0.0..=1.0).contains(&rule.probability) {
            return Err(format!(
                "probability is {}, not between 0 and 1",
                rule.probability
            ));
        }
        if rule
            .status
            .is_some_and(|status| !(400..=599).contains(&status))
        {
            return Err("status is not between 400 and 599".to_owned());
        }
    }
    for rule in rules {
        hub.faults.add(rule);
    }
    Ok(())
}

/// Sets buckets: all of them, or none and what is wrong with one.
pub(crate) fn set_throttles(hub: &Hub, throttles: &[Throttle]) -> Result<(), String> {
    for throttle in throttles {
        check_action(&throttle.action)?;
        if !(throttle.rate_per_sec >= 0.0 && throttle.burst >= 0.0) {
            return Err("rate_per_sec and burst must not be negative".to_owned());
        }
    }
    for throttle in throttles {
        hub.throttles.set(throttle, hub.uptime());
    }
    Ok(())
}

/// How many calls of the action, or of all (`*`), each second brought.
pub(crate) fn rates(hub: &Hub, action: &str) -> Result<Rates, String> {
    check_action(action).map(|()| hub.rates(action))
}

/// A rule for an action that does not exist would never hit anything, and nobody would know.
fn check_action(action: &str) -> Result<(), String> {
    let known = SwfAction::named(action).is_some() || SfnAction::named(action).is_some();
    if action == "*" || known {
        return Ok(());
    }
    Err(format!(
        "no action {action:?}; name one that is simulated, as PollForActivityTask, or \"*\""
    ))
}
