//! Faults that a test injects: which calls they hit, and how these calls end.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// What a fault does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Delays the call by `latency_ms`. The call then goes on as without the fault.
    Latency,
    /// Answers `status` and `code`, without effect.
    Error,
    /// Closes the connection without an answer, without effect.
    Drop,
    /// Resets the connection (TCP RST), without effect.
    Reset,
    /// Lets the call take effect, then closes the connection without an answer.
    LostAnswer,
}

/// One rule. The rules apply to a call in the order in which they were added. The latencies of all
/// matching rules add up. The first matching rule of another kind than latency decides how the call ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The action's name, for instance `PollForActivityTask`, or `*` for every action.
    pub action: String,
    /// What the rule does to a call.
    pub kind: FaultKind,
    /// How long the call waits first, with every kind.
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
    /// Maximum number of hits; without it there is no maximum.
    #[serde(default)]
    pub times: Option<u64>,
    /// Only calls for this task list. A call with a task token counts for the list of its task.
    #[serde(default)]
    pub task_list: Option<String>,
    /// Only calls for this domain.
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

    /// The same rule with a maximum number of hits.
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

    /// The same rule, only for calls for this task list.
    #[must_use]
    pub fn task_list(self, task_list: impl Into<String>) -> Self {
        Self {
            task_list: Some(task_list.into()),
            ..self
        }
    }

    fn matches(&self, action: &str, scope: CallScope<'_>) -> bool {
        let same = |rule: &Option<String>, call: Option<&str>| {
            rule.as_deref().is_none_or(|wanted| call == Some(wanted))
        };
        (self.action == "*" || self.action == action)
            && self.times != Some(0)
            && same(&self.domain, scope.domain)
            && same(&self.task_list, scope.task_list)
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

/// The domain and the task list of a call, if the call has them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallScope<'a> {
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

/// All rules.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<FaultRule>>,
    /// Whether there is a rule. Without one, a call does not take the lock.
    any: AtomicBool,
}

impl Faults {
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(crate) fn add(&self, rule: FaultRule) {
        self.rules.lock().push(rule);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        self.rules.lock().clear();
        self.any.store(false, Ordering::Release);
    }

    /// All rules; `times` is the number of hits that are left.
    pub(crate) fn rules(&self) -> Vec<FaultRule> {
        self.rules.lock().clone()
    }

    /// What the rules do to a call. `roll` draws a number from 0.0 up to, not including, 1.0.
    pub(crate) fn inject(
        &self,
        action: &str,
        scope: CallScope<'_>,
        mut roll: impl FnMut() -> f64,
    ) -> Injected {
        let mut injected = Injected::default();
        for rule in self.rules.lock().iter_mut() {
            if !rule.matches(action, scope) || roll() >= rule.probability {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inject(faults: &Faults, action: &str) -> Injected {
        faults.inject(action, CallScope::default(), || 0.5)
    }

    #[test]
    fn a_rule_ends_after_its_maximum_of_hits() {
        let faults = Faults::default();
        faults.add(FaultRule::new("A", FaultKind::Drop).times(2));
        assert_eq!(inject(&faults, "B").end, None);
        for expected in [Some(FaultEnd::Drop), Some(FaultEnd::Drop), None] {
            assert_eq!(inject(&faults, "A").end, expected);
        }
    }

    #[test]
    fn latencies_add_up_and_the_first_rule_of_another_kind_decides() {
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
    fn probability_and_task_list_narrow_a_rule() {
        let faults = Faults::default();
        faults.add(FaultRule::new("*", FaultKind::Drop).probability(0.5));
        assert_eq!(inject(&faults, "A").end, None);
        faults.clear();
        faults.add(FaultRule::new("*", FaultKind::Drop).task_list("mine"));
        let scope = |task_list| CallScope {
            domain: Some("shop"),
            task_list,
        };
        assert_eq!(inject(&faults, "A").end, None);
        assert_eq!(faults.inject("A", scope(Some("other")), || 0.0).end, None);
        let hit = faults.inject("A", scope(Some("mine")), || 0.0).end;
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
