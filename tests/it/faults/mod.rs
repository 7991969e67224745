//! What AWS, or the network before it, may do to any call that the bridge makes, and what becomes of the tasks.
//!
//! A table for each kind of call: what may happen at either service, and the codes of each service's own. The rows of
//! a table run side by side, each on a task list of its own and all through one queue: those that throttle in one
//! bridge, the others in another.

mod heartbeat;
mod persistence;
mod poll;
mod respond;

use crate::harness::{Answer, Route, Source, TaskMessage};
use activity_sim::{FaultKind, FaultRule, TaskState};
use std::{fmt, time::Duration};

const QUEUE: &str = "work";

/// What may happen to a call.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The service answers with this status and code.
    Answer(u16, &'static str),
    /// The connection is closed without an answer.
    Drop,
    /// The connection is reset.
    Reset,
    /// The call takes effect, and its answer is lost.
    LostAnswer,
    /// The call takes effect after so many milliseconds.
    Late(u64),
}

impl Fault {
    /// Whether the service throttles the call. The bridge makes that call more slowly from there on, whichever task it
    /// is for: rows that throttle have a bridge of their own, or they would hold up the others.
    fn throttles(self) -> bool {
        matches!(self, Self::Answer(_, code) if code.contains("Throttling") || code.contains("LimitExceeded"))
    }

    fn name(self) -> String {
        match self {
            Self::Answer(_, code) => code.to_owned(),
            Self::Late(ms) => format!("late-{ms}ms"),
            Self::Drop => "drop".to_owned(),
            Self::Reset => "reset".to_owned(),
            Self::LostAnswer => "lost-answer".to_owned(),
        }
    }
}

/// A row of a table: this fault on that many calls of this action in a row, and what must come of it.
#[derive(Clone, Copy, Debug)]
struct Row<E> {
    source: Source,
    action: &'static str,
    fault: Fault,
    times: u64,
    end: E,
}

impl<E> Row<E> {
    /// The name of the row's route, and of its task list or activity.
    fn list(&self) -> String {
        let short = self.action.trim_start_matches("RespondActivityTask");
        let short = short.trim_start_matches("RecordActivityTask");
        let short = short.trim_start_matches("SendTask");
        format!(
            "{}.{}",
            short.trim_end_matches("ForActivityTask"),
            self.fault.name()
        )
    }

    fn rule(&self) -> FaultRule {
        let rule = match self.fault {
            Fault::Answer(status, code) => FaultRule::error(self.action, status, code),
            Fault::Drop => FaultRule::new(self.action, FaultKind::Drop),
            Fault::Reset => FaultRule::new(self.action, FaultKind::Reset),
            Fault::LostAnswer => FaultRule::new(self.action, FaultKind::LostAnswer),
            Fault::Late(ms) => FaultRule::latency(self.action, Duration::from_millis(ms)),
        };
        rule.task_list(self.source.list(&self.list()))
            .times(self.times)
    }

    /// One task at a time, so that a slot that is not freed shows.
    fn route(&self) -> Route {
        Route::new(&self.list())
            .queue(QUEUE)
            .with("max_in_flight = 1\npollers = { min = 1, max = 1 }")
    }
}

/// Names the row in a failure message.
impl<E> fmt::Display for Row<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.fault.name(), self.action)
    }
}

/// The route that a task came by, and with it the row.
fn list_of(task: &TaskMessage) -> String {
    task.header("route").expect("a route")
}

/// The reply that makes the bridge call an action that ends a task.
fn reply_for(action: &str, body: &str) -> Answer {
    match kind_of(action) {
        "failed" => Answer::of("failed", body).header("reason", "a reason"),
        kind => Answer::of(kind, body),
    }
}

/// The type of the reply that leads to an action, and the label of the outcome.
fn kind_of(action: &str) -> &'static str {
    match action {
        "RespondActivityTaskCompleted" | "SendTaskSuccess" => "completed",
        "RespondActivityTaskFailed" | "SendTaskFailure" => "failed",
        "RespondActivityTaskCanceled" => "canceled",
        other => panic!("{other} does not end a task"),
    }
}

/// The state in which an action leaves a task.
fn state_after(action: &str) -> TaskState {
    match kind_of(action) {
        "completed" => TaskState::Completed,
        "failed" => TaskState::Failed,
        _ => TaskState::Canceled,
    }
}

/// The seconds of the day in the time stamp of a line of the text log.
fn second_of_day(line: &str) -> f64 {
    let time = line
        .split_once('T')
        .and_then(|(_, rest)| rest.split_once('Z'));
    let (time, _) = time.expect("a line begins with its time");
    time.split(':').fold(0.0, |sum, part| {
        sum * 60.0 + part.parse::<f64>().expect("a number")
    })
}

/// The seconds from one line of the log to a later one.
fn seconds_between(earlier: &str, later: &str) -> f64 {
    (second_of_day(later) - second_of_day(earlier)).rem_euclid(86_400.0)
}
