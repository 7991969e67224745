//! What a test or the admin API hands to the simulator. What it gets back is in `record`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The domain of all activities of AWS Step Functions, which has none: an activity is a task list of
/// its own, named by its ARN.
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

/// The four time-outs of an activity task. `None` takes the registered type's default, and where
/// there is none, means no time-out. In JSON: seconds, fractions allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// How long the task may wait in its task list.
    #[serde(with = "seconds")]
    pub schedule_to_start: Option<Duration>,
    /// How long a worker may take.
    #[serde(with = "seconds")]
    pub start_to_close: Option<Duration>,
    /// How long waiting and working may take together.
    #[serde(with = "seconds")]
    pub schedule_to_close: Option<Duration>,
    /// How long a started task may go without a heartbeat.
    #[serde(with = "seconds")]
    pub heartbeat: Option<Duration>,
}

impl Timeouts {
    /// These time-outs, and the defaults for those that are `None`.
    pub(crate) fn or(self, defaults: Self) -> Self {
        Self {
            schedule_to_start: self.schedule_to_start.or(defaults.schedule_to_start),
            start_to_close: self.start_to_close.or(defaults.start_to_close),
            schedule_to_close: self.schedule_to_close.or(defaults.schedule_to_close),
            heartbeat: self.heartbeat.or(defaults.heartbeat),
        }
    }
}

/// How a state machine tries its activity again after a failure or a time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How often it is tried again at most.
    pub max_attempts: u32,
    /// How long after the end of the attempt before. In JSON: seconds, fractions allowed.
    #[serde(with = "seconds::always")]
    pub interval: Duration,
}

/// Activities to schedule, as a decider would: `count` tasks that differ only by their ids.
///
/// In the domain [`STATES`] it starts `count` executions of a state machine whose one state is the
/// activity of which `task_list` is the ARN. Of the time-outs, `start_to_close` is the state's
/// TimeoutSeconds and `heartbeat` its HeartbeatSeconds. What Step Functions does not have is refused
/// there: the other two, `activity_type`, `workflow_id` and `request_cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// A domain the simulator knows, or [`STATES`].
    pub domain: String,
    /// The task list the tasks wait in; it comes into being by its first use. Or the ARN of an
    /// activity that the simulator knows.
    pub task_list: String,
    /// Need not be registered.
    #[serde(default)]
    pub activity_type: ActivityType,
    /// Given to the worker as it is. An execution of Step Functions without one has `{}`.
    #[serde(default)]
    pub input: Option<String>,
    /// How many tasks.
    #[serde(default = "one")]
    pub count: u32,
    /// The workflow execution they belong to: the same id is the same run until a reset. Without
    /// an id every task gets an execution of its own.
    #[serde(default)]
    pub workflow_id: Option<String>,
    /// See [`Timeouts`].
    #[serde(default)]
    pub timeouts: Timeouts,
    /// A cancel is requested the moment a worker gets the task.
    #[serde(default)]
    pub request_cancel: bool,
    /// Only of an activity of Step Functions; not tried again without.
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

/// A token bucket for the calls of one action, or one that all actions share (`*`). A call needs a
/// token of both where there are both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// The action's name, as `PollForActivityTask`, or `*`.
    pub action: String,
    /// Tokens added each second.
    pub rate_per_sec: f64,
    /// The bucket's size; it starts full.
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

    /// The same for a duration that is always there.
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
