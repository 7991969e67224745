//! The tasks in flight as a list, with what people may see of each. It contains no token and no input.

use super::{
    lifecycle::State,
    table::{InflightTable, InflightTask},
};
use crate::{route::Route, task::TaskId};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The progress of a task, in words for people who read the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// The broker has not confirmed the message.
    Publishing,
    /// The broker has the message, and no worker has begun.
    Waiting,
    /// A worker has said that it works on the task, or the broker tells that a worker has it.
    Working,
    /// The outcome is being sent to AWS.
    Settling,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publishing => "publishing",
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Settling => "settling",
        })
    }
}

/// An entry of the list.
#[derive(Debug)]
pub struct Listed {
    /// The id of the task.
    pub id: TaskId,
    /// The route of the task.
    pub route: Arc<Route>,
    /// The progress of the task.
    pub progress: Progress,
    /// The time since the task was polled.
    pub age: Duration,
    /// The time since AWS accepted the last heartbeat; `None` if it accepted none.
    pub last_heartbeat: Option<Duration>,
}

impl InflightTable {
    /// All tasks in flight, in no order.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let table = self.table();
        let now = Instant::now();
        let listed = |(id, entry): (&TaskId, &InflightTask)| entry.listed(*id, now);
        table.open.iter().map(listed).collect()
    }

    /// The progress of a task; `None` if it is not in flight.
    #[must_use]
    pub fn progress(&self, id: TaskId) -> Option<Progress> {
        self.table().open.get(&id).map(InflightTask::progress)
    }
}

impl InflightTask {
    fn progress(&self) -> Progress {
        match self.state {
            State::Settling | State::Ended => Progress::Settling,
            State::Publishing | State::Dispatched if !self.schedule.is_waiting() => {
                Progress::Working
            }
            State::Publishing => Progress::Publishing,
            State::Dispatched => Progress::Waiting,
        }
    }

    fn listed(&self, id: TaskId, now: Instant) -> Listed {
        let last_heartbeat = self.schedule.last_heartbeat();
        Listed {
            id,
            route: Arc::clone(&self.route),
            progress: self.progress(),
            age: self.polled_at.elapsed().unwrap_or_default(),
            last_heartbeat: last_heartbeat.map(|at| now.saturating_duration_since(at)),
        }
    }
}
