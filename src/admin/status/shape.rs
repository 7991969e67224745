//! What the status page and `/status.json` tell. Times are in seconds. No field has a token, an input, a result or a whole id.

use crate::metrics::{LegTotals, RouteTotals};
use serde::{Deserialize, Serialize};

/// The state of the process. Totals count from the start of the process: two looks give a rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the bridge.
    pub version: String,
    /// The name of the machine; in a pod, of the pod.
    pub host: String,
    /// When this was told, in seconds since 1970.
    pub at: f64,
    /// The time since the start. It never goes back, unlike `at`.
    pub uptime_secs: f64,
    /// As `/readyz` answers.
    pub ready: bool,
    /// The phase of the process.
    pub phase: String,
    /// What to do where the phase is not `running`.
    pub advice: Option<Advice>,
    /// The number of tasks in flight, those of no route included.
    pub tasks_in_flight: u64,
    /// The broker.
    pub broker: BrokerStatus,
    /// The token store.
    pub store: StoreStatus,
    /// Replies that did not settle a task.
    pub replies: ReplyTotals,
    /// The routes, in the order of the configuration.
    pub routes: Vec<RouteStatus>,
    /// The newest warnings and errors of the log, the newest first; at most 50.
    pub problems: Vec<Problem>,
}

/// The state of the broker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// `endpoint` with its address, or `rabbitmq`.
    pub kind: String,
    /// Whether it is connected.
    pub ready: bool,
    /// The same as in `/readyz`.
    pub state: String,
    /// Connections of workers, where the bridge is the broker.
    pub connections: Option<u64>,
}

/// The state of the token store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Its kind and place.
    pub place: String,
    /// Whether it can be used.
    pub ready: bool,
    /// The same as in `/readyz`.
    pub state: String,
    /// What a person should know although it can be used.
    pub notes: Vec<Note>,
}

/// Replies that did not settle a task, of all routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplyTotals {
    /// Replies to tasks that had ended or had an outcome on its way.
    pub late: u64,
    /// Messages for the parking queue.
    pub parked: u64,
    /// Those of them that it did not take.
    pub unparked: u64,
}

/// The state of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Its name.
    pub name: String,
    /// `swf` or `step-functions`.
    pub source: String,
    /// The queue or exchange.
    pub destination: String,
    /// Whether it needs no person.
    pub ready: bool,
    /// Why it polls or does not, as a label of a closed set; the same as in `/readyz`.
    pub reason: String,
    /// The same in words.
    pub state: String,
    /// What to do about the state.
    pub advice: Option<Advice>,
    /// What a person should know although it is ready.
    pub notes: Vec<Note>,
    /// Open polls.
    pub open_polls: u64,
    /// Slots in use, by open polls and tasks.
    pub slots_taken: u64,
    /// `max_in_flight`.
    pub slots: u64,
    /// What the broker tells of the queue; nothing where the route names no queue.
    pub queue: Option<QueueStatus>,
    /// Tasks in flight by state.
    pub in_flight: InFlight,
    /// The time since the oldest task in flight was polled.
    pub oldest_task_secs: Option<u64>,
    /// What was counted since the start.
    pub totals: RouteTotals,
    /// The time of each leg of a task's way, counted since the start.
    pub legs: Vec<LegTotals>,
}

/// What the broker tells of a queue, about once a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Messages that wait.
    pub ready: u64,
    /// Consumers.
    pub consumers: u64,
    /// Tasks that workers have, where the bridge is the broker.
    pub unacknowledged: Option<u64>,
    /// How many more tasks the consumers take at once, where the bridge is the broker.
    pub credit: Option<u64>,
}

/// Tasks in flight by state, as in `activity-bridge tasks`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InFlight {
    /// The broker has not confirmed the message.
    pub publishing: u64,
    /// The broker has the message, and no worker has begun.
    pub waiting: u64,
    /// A worker works on the task.
    pub working: u64,
    /// The outcome is being sent to AWS.
    pub settling: u64,
}

impl InFlight {
    /// Each state with its number, in the order of a task's life.
    #[must_use]
    pub fn by_state(self) -> [(&'static str, u64); 4] {
        [
            ("publishing", self.publishing),
            ("waiting", self.waiting),
            ("working", self.working),
            ("settling", self.settling),
        ]
    }
}

/// A text for a person, and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// The text.
    pub text: String,
    /// What to do.
    pub advice: Option<Advice>,
}

/// What to do, as the documents say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The sentences; empty where the section has more to say than a line.
    pub text: String,
    /// The section of the documents, such as `docs/operations.md#readiness`.
    pub section: String,
}

/// Warnings or errors of the log that are alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// `WARN` or `ERROR`.
    pub level: String,
    /// When the newest of them was written, in seconds since 1970.
    pub at: f64,
    /// Their number.
    pub times: u64,
    /// The route that they name; empty if they name none.
    pub route: String,
    /// The words of the newest.
    pub message: String,
    /// Its other fields, as `name=value`.
    pub fields: String,
    /// What to do.
    pub advice: Option<Advice>,
}
