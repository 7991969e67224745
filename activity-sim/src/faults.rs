//! Faults that a test injects: which calls they hit, and what they do to them.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What a fault does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Delays the call by `latency_ms`; what comes after is as without the fault.
    Latency,
    /// Answers `status` and `code`, without effect.
    Error,
    /// Closes the connection without an answer, without effect.
    Drop,
    /// Resets the connection (TCP RST), without effect.
    Reset,
    /// The call takes effect, then the connection is closed without an answer.
    LostAnswer,
}

/// One rule. A call meets the rules in the order they were added: the latencies of all that match
/// add up, and the first that is more than a latency decides how the call ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The action's name, as `PollForActivityTask`, or `*` for every action.
    pub action: String,
    /// What happens.
    pub kind: FaultKind,
    /// Waited before the call is looked at, with every kind.
    #[serde(default)]
    pub latency_ms: u64,
    /// The HTTP status of [`FaultKind::Error`]. Without it: 500 for `InternalFailure`, 503 for
    /// `ServiceUnavailable`, 400 for every other code.
    #[serde(default)]
    pub status: Option<u16>,
    /// The error code of [`FaultKind::Error`]; `InternalFailure` without it.
    #[serde(default)]
    pub code: Option<String>,
    /// The share of matching calls that are hit, 0.0 to 1.0.
    #[serde(default = "always")]
    pub probability: f64,
    /// The rule is spent after so many hits.
    #[serde(default)]
    pub times: Option<u64>,
    /// Only calls about this task list. A call with a task token is about its task's.
    #[serde(default)]
    pub task_list: Option<String>,
    /// Only calls about this domain.
    #[serde(default)]
    pub domain: Option<String>,
}

fn always() -> f64 {
    1.0
}

impl FaultRule {
    /// Hits every call of the action.
    pub fn new(action: impl Into<String>, kind: FaultKind) -> Self {
        Self {
            action: action.into(),
            kind,
            latency_ms: 0,
            status: None,
            code: None,
            probability: always(),
            times: None,
            task_list: None,
            domain: None,
        }
    }

    /// Answers every call of the action with this error.
    pub fn error(action: impl Into<String>, status: u16, code: impl Into<String>) -> Self {
        Self {
            status: Some(status),
            code: Some(code.into()),
            ..Self::new(action, FaultKind::Error)
        }
    }

    /// Delays every call of the action.
    pub fn latency(action: impl Into<String>, latency: Duration) -> Self {
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        Self {
            latency_ms,
            ..Self::new(action, FaultKind::Latency)
        }
    }

    /// The same rule, spent after so many hits.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    /// The same rule, for this share of the calls.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        Self {
            probability,
            ..self
        }
    }

    /// The same rule, only for calls about this task list.
    #[must_use]
    pub fn task_list(self, task_list: impl Into<String>) -> Self {
        Self {
            task_list: Some(task_list.into()),
            ..self
        }
    }

    fn matches(&self, action: &str, about: About<'_>) -> bool {
        let same = |rule: &Option<String>, call: Option<&str>| {
            rule.as_deref().is_none_or(|wanted| call == Some(wanted))
        };
        (self.action == "*" || self.action == action)
            && self.times != Some(0)
            && same(&self.domain, about.domain)
            && same(&self.task_list, about.task_list)
    }

    fn end(&self) -> Option<FaultEnd> {
        match self.kind {
            FaultKind::Latency => None,
            FaultKind::Drop => Some(FaultEnd::Drop),
            FaultKind::Reset => Some(FaultEnd::Reset),
            FaultKind::LostAnswer => Some(FaultEnd::LostAnswer),
            FaultKind::Error => {
                let code = self
                    .code
                    .clone()
                    .unwrap_or_else(|| "InternalFailure".to_owned());
                let status = self.status.unwrap_or(match code.as_str() {
                    "InternalFailure" => 500,
                    "ServiceUnavailable" => 503,
                    _ => 400,
                });
                Some(FaultEnd::Error { status, code })
            }
        }
    }
}

/// What a call is about, as far as it says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct About<'a> {
    pub(crate) domain: Option<&'a str>,
    pub(crate) task_list: Option<&'a str>,
}

/// How a fault ends a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FaultEnd {
    Error { status: u16, code: String },
    Drop,
    Reset,
    LostAnswer,
}

/// What the rules do to one call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Injected {
    pub(crate) latency: Duration,
    pub(crate) end: Option<FaultEnd>,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<FaultRule>>,
    /// Spares the calls the lock while there are no rules.
    any: AtomicBool,
}

impl Faults {
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(crate) fn add(&self, rule: FaultRule) {
        self.lock().push(rule);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
        self.any.store(false, Ordering::Release);
    }

    /// The rules as they are now: `times` says how many hits are left.
    pub(crate) fn rules(&self) -> Vec<FaultRule> {
        self.lock().clone()
    }

    /// What happens to a call; `roll` draws from 0.0 up to, not including, 1.0.
    pub(crate) fn inject(
        &self,
        action: &str,
        about: About<'_>,
        mut roll: impl FnMut() -> f64,
    ) -> Injected {
        let mut injected = Injected::default();
        for rule in self.lock().iter_mut() {
            if !rule.matches(action, about) || roll() >= rule.probability {
                continue;
            }
            if let Some(times) = &mut rule.times {
                *times -= 1;
            }
            injected.latency += Duration::from_millis(rule.latency_ms);
            injected.end = rule.end();
            if injected.end.is_some() {
                break;
            }
        }
        injected
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FaultRule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inject(faults: &Faults, action: &str) -> Injected {
        faults.inject(action, About::default(), || 0.5)
    }

    #[test]
    fn a_rule_is_spent_after_its_times() {
        let faults = Faults::default();
        faults.add(FaultRule::new("A", FaultKind::Drop).times(2));
        assert_eq!(inject(&faults, "B").end, None);
        for expected in [Some(FaultEnd::Drop), Some(FaultEnd::Drop), None] {
            assert_eq!(inject(&faults, "A").end, expected);
        }
    }

    #[test]
    fn latencies_add_up_and_the_first_end_decides() {
        let faults = Faults::default();
        faults.add(FaultRule::latency("*", Duration::from_millis(20)));
        faults.add(FaultRule {
            latency_ms: 5,
            ..FaultRule::new("A", FaultKind::Reset)
        });
        faults.add(FaultRule::error("A", 500, "InternalFailure"));
        let latency = Duration::from_millis(25);
        assert_eq!(
            inject(&faults, "A"),
            Injected {
                latency,
                end: Some(FaultEnd::Reset)
            }
        );
        faults.clear();
        assert_eq!(inject(&faults, "A"), Injected::default());
    }

    #[test]
    fn probability_and_place_narrow_a_rule() {
        let faults = Faults::default();
        faults.add(FaultRule::new("*", FaultKind::Drop).probability(0.5));
        assert_eq!(inject(&faults, "A").end, None);
        faults.clear();
        faults.add(FaultRule::new("*", FaultKind::Drop).task_list("mine"));
        let about = |task_list| About {
            domain: Some("shop"),
            task_list,
        };
        assert_eq!(inject(&faults, "A").end, None);
        assert_eq!(faults.inject("A", about(Some("other")), || 0.0).end, None);
        let hit = faults.inject("A", about(Some("mine")), || 0.0).end;
        assert_eq!(hit, Some(FaultEnd::Drop));
    }

    #[test]
    fn an_error_without_a_status_gets_that_of_its_code() {
        let status = |code: Option<&str>| {
            let code = code.map(str::to_owned);
            match (FaultRule {
                code,
                ..FaultRule::new("A", FaultKind::Error)
            })
            .end()
            {
                Some(FaultEnd::Error { status, .. }) => status,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(status(None), 500);
        assert_eq!(status(Some("ServiceUnavailable")), 503);
        assert_eq!(status(Some("ThrottlingException")), 400);
    }
}
