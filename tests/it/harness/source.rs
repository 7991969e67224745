//! The services that tasks come from, and all that a test must know of what differs between them: the body of a test
//! is the same for both.

use super::{DOMAIN, Route, World};
use activity_sim::{Schedule, TaskRecord, TaskState, activity_arn};

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Amazon SWF.
    Swf,
    /// The activities of AWS Step Functions.
    StepFunctions,
}

use Source::{StepFunctions, Swf};

impl Source {
    /// A route's keys of its source, as TOML.
    pub(super) fn toml(self, route: &Route) -> String {
        let Route { name, domain, .. } = route;
        match self {
            Swf => format!("swf = {{ domain = \"{domain}\", task_list = \"{name}\" }}\n"),
            StepFunctions => format!("step_functions.activity_arn = \"{}\"\n", activity_arn(name)),
        }
    }

    /// The task list of the route with this name, as the simulator calls it.
    pub fn list(self, route: &str) -> String {
        match self {
            Swf => route.to_owned(),
            StepFunctions => activity_arn(route),
        }
    }

    /// A schedule whose worker is asked to cancel the task, where the service can ask.
    pub fn asked_to_cancel(self, schedule: Schedule) -> Schedule {
        Schedule {
            request_cancel: self == Swf,
            ..schedule
        }
    }

    /// The action that asks for a task.
    pub fn poll(self) -> &'static str {
        match self {
            Swf => "PollForActivityTask",
            StepFunctions => "GetActivityTask",
        }
    }

    /// The action that says that a task is alive.
    pub fn heartbeat(self) -> &'static str {
        match self {
            Swf => "RecordActivityTaskHeartbeat",
            StepFunctions => "SendTaskHeartbeat",
        }
    }

    /// The action that completes a task.
    pub fn complete(self) -> &'static str {
        match self {
            Swf => "RespondActivityTaskCompleted",
            StepFunctions => "SendTaskSuccess",
        }
    }

    /// What every token of the simulator's begins with.
    pub fn token(self) -> &'static str {
        match self {
            Swf => "AAAAKgAAAAIAAAAAAAAA",
            StepFunctions => "AQCEAAAAKgAAAAMAAAAA",
        }
    }

    /// A task's input as its worker gets it. An execution of Step Functions always has one.
    pub fn input(self, scheduled: Option<&str>) -> &str {
        match self {
            Swf => scheduled.unwrap_or_default(),
            StepFunctions => scheduled.unwrap_or("{}"),
        }
    }

    /// What the service has of a result that a worker sent: Step Functions takes JSON alone.
    pub fn result(self, sent: &str) -> String {
        match self {
            StepFunctions if serde_json::from_str::<serde_json::Value>(sent).is_err() => {
                serde_json::json!(sent).to_string()
            }
            Swf | StepFunctions => sent.to_owned(),
        }
    }

    /// What the service has of the details of a heartbeat.
    pub fn kept(self, details: &str) -> Option<&str> {
        match self {
            Swf => Some(details),
            StepFunctions => None,
        }
    }

    /// The state of a task that its worker canceled because it was asked to, if it could be asked.
    pub fn canceled(self) -> TaskState {
        match self {
            Swf => TaskState::Canceled,
            StepFunctions => TaskState::Failed,
        }
    }

    /// The longest result that the service takes, which has letters of two bytes.
    pub fn longest_result(self) -> String {
        match self {
            // SWF counts characters.
            Swf => "é".repeat(32_768),
            // Step Functions counts bytes, and it gets this in quotes.
            StepFunctions => "é".repeat(131_071),
        }
    }

    /// A result that is too long by one, and what is said of it.
    pub fn too_long(self) -> (String, &'static str) {
        match self {
            Swf => (
                "x".repeat(32_769),
                "the result has 32769 characters, and SWF takes 32768",
            ),
            StepFunctions => (
                "x".repeat(262_143),
                "the result has 262145 bytes as JSON, and Step Functions takes 262144",
            ),
        }
    }

    /// Reason and details, or error and cause, of a failure that the bridge itself sends: Step Functions gets a name
    /// to catch it by.
    pub fn failure(self, name: &str, reason: &str, details: &str) -> (String, Option<String>) {
        match (self, details) {
            (Swf, "") => (reason.to_owned(), None),
            (Swf, details) => (reason.to_owned(), Some(details.to_owned())),
            (StepFunctions, "") => (format!("ActivityBridge.{name}"), Some(reason.to_owned())),
            (StepFunctions, details) => (
                format!("ActivityBridge.{name}"),
                Some(format!("{reason}: {details}")),
            ),
        }
    }

    /// The words of such a failure.
    pub fn words<'t>(self, name: &str, task: &'t TaskRecord) -> &'t str {
        let words = match self {
            Swf => &task.reason,
            StepFunctions => {
                assert_eq!(task.reason, Some(format!("ActivityBridge.{name}")));
                &task.details
            }
        };
        words.as_deref().unwrap_or_default()
    }
}

/// What a route needs at the service. A test makes it only where it is about that.
impl World {
    /// Where a route's tasks come from.
    pub(super) fn source_of(&self, route: &Route) -> Source {
        route.source.unwrap_or(self.source)
    }

    /// Makes the route's domain or activity.
    pub fn create(&self, route: &Route) {
        match self.source_of(route) {
            Swf => self.sim.add_domain(&route.domain),
            StepFunctions => drop(self.sim.create_activity(&route.name)),
        }
    }

    /// Refuses every call for this route from now on.
    pub fn forbid(&self, route: &Route) {
        match self.source_of(route) {
            Swf => self.sim.forbid(&route.domain),
            StepFunctions => self.sim.forbid_activity(activity_arn(&route.name)),
        }
    }

    /// Takes [`World::forbid`] back.
    pub fn permit(&self, route: &Route) {
        match self.source_of(route) {
            Swf => self.sim.permit(&route.domain),
            StepFunctions => self.sim.permit_activity(activity_arn(&route.name)),
        }
    }

    /// What schedules one task for this route, without input and timeouts.
    pub fn task_for(&self, route: &Route) -> Schedule {
        match self.source_of(route) {
            Swf => Schedule::new(&route.domain, &route.name),
            StepFunctions => Schedule::activity(self.sim.create_activity(&route.name)),
        }
    }

    /// The same for a route of which only the name is special.
    pub fn plain(&self, route: &str) -> Schedule {
        self.task_for(&Route::new(route).domain(DOMAIN))
    }
}
