//! What a test or the admin API gives to the simulator. The answers are in `record`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The domain of all activities of AWS Step Functions, which has no domains. An activity is a task list
/// whose name is the activity's ARN.
pub const STATES: &str = "";

/// The name and version of an activity type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivityType {
    /// 1 to 256 characters on the real service.
    pub name: String,
    /// 1 to 64 characters on the real service.
    pub version: String,
}

impl ActivityType {
    /// An activity type of this name and version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
        }
    }
}

impl Default for ActivityType {
    fn default() -> Self {
        Self::new("activity", "1")
    }
}

/// The four time-outs of an activity task. `None` means the default of the registered type, or no
/// time-out when there is no default. In JSON: seconds, fractions allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// How long the task may wait in its task list.
    #[serde(with = "seconds")]
    pub schedule_to_start: Option<Duration>,
    /// How long a worker may have the task.
    #[serde(with = "seconds")]
    pub start_to_close: Option<Duration>,
    /// How long the task may wait and be worked on together.
    #[serde(with = "seconds")]
    pub schedule_to_close: Option<Duration>,
    /// How long a started task may go without a heartbeat.
    #[serde(with = "seconds")]
    pub heartbeat: Option<Duration>,
}

impl Timeouts {
    /// These time-outs cut to whole seconds.
    pub(crate) fn whole_seconds(self) -> Self {
        let cut = |span: Option<Duration>| span.map(|span| Duration::from_secs(span.as_secs()));
        Self {
            schedule_to_start: cut(self.schedule_to_start),
            start_to_close: cut(self.start_to_close),
            schedule_to_close: cut(self.schedule_to_close),
            heartbeat: cut(self.heartbeat),
        }
    }

    /// These time-outs, with the defaults in place of those that are `None`.
    pub(crate) fn or(self, defaults: Self) -> Self {
        Self {
            schedule_to_start: self.schedule_to_start.or(defaults.schedule_to_start),
            start_to_close: self.start_to_close.or(defaults.start_to_close),
            schedule_to_close: self.schedule_to_close.or(defaults.schedule_to_close),
            heartbeat: self.heartbeat.or(defaults.heartbeat),
        }
    }
}

/// The rule by which a state machine retries its activity after a failure or a time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Maximum number of retries.
    pub max_attempts: u32,
    /// Interval between the end of an attempt and the next one. In JSON: seconds, fractions allowed.
    #[serde(with = "seconds::always")]
    pub interval: Duration,
}

/// Activities to schedule, as a decider does: `count` tasks that differ only in their ids.
///
/// In the domain [`STATES`] it starts `count` executions of a state machine. Its one state is the
/// activity; `task_list` is the activity's ARN. The time-out `start_to_close` is the state's
/// TimeoutSeconds, and `heartbeat` is its HeartbeatSeconds. Step Functions has no other time-outs and no
/// `activity_type`, `workflow_id` and `request_cancel`: a schedule with one of them is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// A domain that exists in the simulator, or [`STATES`].
    pub domain: String,
    /// The task list in which the tasks wait; it is created at its first use. For [`STATES`], the ARN
    /// of an activity that exists in the simulator.
    pub task_list: String,
    /// The activity type; it need not be registered.
    #[serde(default)]
    pub activity_type: ActivityType,
    /// The input for the worker, unchanged. An execution of Step Functions without input has `{}`.
    #[serde(default)]
    pub input: Option<String>,
    /// Number of tasks.
    #[serde(default = "one")]
    pub count: u32,
    /// The workflow execution of the tasks. The same id is the same run until a reset. Without an id,
    /// every task has an execution of its own.
    #[serde(default)]
    pub workflow_id: Option<String>,
    /// See [`Timeouts`].
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Whether a cancel is requested in the moment in which a worker gets the task.
    #[serde(default)]
    pub request_cancel: bool,
    /// Only for an activity of Step Functions. Without it there are no retries.
    #[serde(default)]
    pub retry: Option<Retry>,
}

impl Schedule {
    /// One task of the type `activity` version `1`, without input and time-outs.
    pub fn new(domain: impl Into<String>, task_list: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            task_list: task_list.into(),
            ..Self::default()
        }
    }

    /// One execution of a state machine of this activity, without time-outs and retries.
    pub fn activity(arn: impl Into<String>) -> Self {
        Self::new(STATES, arn)
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            domain: String::new(),
            task_list: String::new(),
            activity_type: ActivityType::default(),
            input: None,
            count: 1,
            workflow_id: None,
            timeouts: Timeouts::default(),
            request_cancel: false,
            retry: None,
        }
    }
}

/// A token bucket for the calls of one action, or one bucket that all actions share (`*`). When both
/// exist, a call needs a token of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// The action's name, for instance `PollForActivityTask`, or `*`.
    pub action: String,
    /// Tokens that are added each second.
    pub rate_per_sec: f64,
    /// The bucket's size. It begins full.
    pub burst: f64,
}

fn one() -> u32 {
    1
}

/// Durations as JSON numbers of seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "the signature serde asks for")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value
            .map(|duration| duration.as_secs_f64())
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<f64>::deserialize(deserializer)?
            .map(|secs| Duration::try_from_secs_f64(secs).map_err(Error::custom))
            .transpose()
    }

    /// The same for a duration that must be given.
    pub(super) mod always {
        use super::*;

        pub(in crate::model) fn serialize<S: Serializer>(
            value: &Duration,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            value.as_secs_f64().serialize(serializer)
        }

        pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Duration, D::Error> {
            let secs = f64::deserialize(deserializer)?;
            Duration::try_from_secs_f64(secs).map_err(Error::custom)
        }
    }
}
