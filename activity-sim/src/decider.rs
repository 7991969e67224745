//! What the admin API and the owner of the simulator do outside the API of the services. A decider does
//! some of it on the real service: it registers, schedules and cancels. The faults, throttles and rates of
//! a test are here too.

use std::sync::Arc;

use crate::{
    arn,
    calls::FaultRule,
    hub::{Hub, State},
    model::{ActivityType, STATES, Schedule, Throttle, Timeouts},
    record::{CancelReport, Rates},
    registry::{RegisteredType, Unusable},
    sfn::SfnAction,
    swf::SwfAction,
    wire::Action,
    world::{CancelOutcome, NewTask},
};

/// Maximum activities that are scheduled while the lock is held once.
const MAX_SCHEDULED_PER_LOCK: u32 = 1_000;

/// Adds a domain, unless it exists.
pub(crate) fn add_domain(hub: &Arc<Hub>, name: &str) {
    hub.act(|state, _| state.domains.add(name));
}

/// Creates an activity of Step Functions, unless it exists, and returns its ARN. Returns `None` when the
/// text is no name for an activity.
pub(crate) fn create_activity(hub: &Arc<Hub>, name: &str) -> Option<String> {
    arn::is_name(name).then(|| hub.act(|state, now| state.activities.create(name, now)))
}

/// Why no task was scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotScheduled {
    NoDomain,
    NoActivity,
    /// The service does not have what the schedule asks for.
    Refused(&'static str),
}

/// Schedules activities and returns their ids in order. It works in a forbidden domain too.
pub(crate) fn schedule(hub: &Arc<Hub>, schedule: Schedule) -> Result<Vec<String>, NotScheduled> {
    let new = hub.read(|state| match schedule.domain.as_str() {
        STATES => state_of(state, &schedule),
        _ => task_of(state, &schedule),
    })?;
    let mut ids = Vec::with_capacity(schedule.count as usize);
    let mut left = schedule.count;
    while left > 0 {
        let portion = left.min(MAX_SCHEDULED_PER_LOCK);
        left -= portion;
        hub.act(|state, now| {
            let queue = state.world.queue(&schedule.domain, &schedule.task_list);
            for _ in 0..portion {
                let new = new.clone();
                let task = if schedule.domain == STATES {
                    state.world.start_execution(now, queue, new, schedule.retry)
                } else {
                    let workflow_id = schedule.workflow_id.as_deref();
                    let execution = state.world.execution(&schedule.domain, workflow_id);
                    state.world.schedule(now, queue, execution, new)
                };
                ids.push(state.world.activity_id(task));
            }
        });
    }
    Ok(ids)
}

/// A task of SWF.
fn task_of(state: &State, schedule: &Schedule) -> Result<NewTask, NotScheduled> {
    if !state.domains.exists(&schedule.domain) {
        return Err(NotScheduled::NoDomain);
    }
    if schedule.retry.is_some() {
        return Err(NotScheduled::Refused(
            "retry is only for an activity of Step Functions",
        ));
    }
    let activity_type = &schedule.activity_type;
    let defaults = state.domains.defaults(&schedule.domain, activity_type);
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

/// Requests to cancel activities.
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

/// Registers an activity type with these defaults, cut to whole seconds. Returns false when it exists.
pub(crate) fn register_type(
    hub: &Arc<Hub>,
    domain: &str,
    activity_type: ActivityType,
    defaults: Timeouts,
) -> Result<bool, Unusable> {
    hub.act(|state, now| {
        let registered = RegisteredType {
            activity_type,
            defaults: defaults.whole_seconds(),
            created: now / 1_000_000,
        };
        state.domains.register(domain, registered)
    })
}

/// Adds all faults. When one is wrong, it adds none and returns the problem.
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

/// Sets all token buckets. When one is wrong, it sets none and returns the problem.
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

/// How many calls of the action, or of all actions (`*`), arrived in each second.
pub(crate) fn rates(hub: &Hub, action: &str) -> Result<Rates, String> {
    check_action(action).map(|()| hub.rates(action))
}

/// Refuses an unknown action. A rule for one would never hit a call, and no one would notice.
fn check_action(action: &str) -> Result<(), String> {
    let known = SwfAction::named(action).is_some() || SfnAction::named(action).is_some();
    if action == "*" || known {
        return Ok(());
    }
    Err(format!(
        "no action {action:?}; name one that is simulated, for instance PollForActivityTask, or \"*\""
    ))
}
