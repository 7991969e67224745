//! The services that tasks come from, and all that a test must know of what differs between them: the body of a test
//! is the same for each.

use super::DOMAIN;
use activity_sim::{Schedule, TaskRecord, TaskState};

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Amazon SWF.
    Swf,
}

impl Source {
    /// A route's table of its source, as TOML.
    pub(super) fn toml(self, name: &str, domain: &str) -> String {
        match self {
            Self::Swf => {
                format!("[routes.swf]\ndomain = \"{domain}\"\ntask_list = \"{name}\"\n")
            }
        }
    }

    /// The task list of the route with this name, as the simulator calls it.
    pub fn list(self, name: &str) -> String {
        match self {
            Self::Swf => name.to_owned(),
        }
    }

    /// What schedules one task there, without input and timeouts.
    pub(super) fn plain(self, name: &str) -> Schedule {
        match self {
            Self::Swf => Schedule::new(DOMAIN, name),
        }
    }

    /// The same, and that its worker is asked to cancel it, where the service can ask.
    pub fn asked_to_cancel(self, schedule: Schedule) -> Schedule {
        match self {
            Self::Swf => Schedule {
                request_cancel: true,
                ..schedule
            },
        }
    }

    /// The action that asks for a task.
    pub fn poll(self) -> &'static str {
        match self {
            Self::Swf => "PollForActivityTask",
        }
    }

    /// The action that says that a task is alive.
    pub fn heartbeat(self) -> &'static str {
        match self {
            Self::Swf => "RecordActivityTaskHeartbeat",
        }
    }

    /// The action that a reply of this type leads to.
    pub fn settle(self, kind: &str) -> &'static str {
        match (self, kind) {
            (Self::Swf, "completed") => "RespondActivityTaskCompleted",
            (Self::Swf, "failed") => "RespondActivityTaskFailed",
            (Self::Swf, "canceled") => "RespondActivityTaskCanceled",
            (_, other) => panic!("{other} does not end a task"),
        }
    }

    /// What the service has of a result that its worker sent.
    pub fn result(self, sent: &str) -> String {
        match self {
            Self::Swf => sent.to_owned(),
        }
    }

    /// What the service has of the details of a heartbeat.
    pub fn kept(self, details: &str) -> Option<&str> {
        match self {
            Self::Swf => Some(details),
        }
    }

    /// The state of a task whose worker canceled it because it was asked to, if it could be.
    pub fn canceled(self) -> TaskState {
        match self {
            Self::Swf => TaskState::Canceled,
        }
    }

    /// The longest result that the service takes, and what is said of one that is one character longer.
    pub fn longest_result(self) -> (String, &'static str) {
        match self {
            // Characters are counted, so this is twice as many bytes.
            Self::Swf => (
                "é".repeat(32_768),
                "the result has 32769 characters, and SWF takes 32768",
            ),
        }
    }

    /// The bridge's own words in a failure that it sent.
    pub fn words(self, task: &TaskRecord) -> &str {
        let words = match self {
            Self::Swf => &task.reason,
        };
        words.as_deref().unwrap_or_default()
    }
}
