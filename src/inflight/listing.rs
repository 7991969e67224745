//! The tasks in flight as a list: what may be told of each.

use super::{
    lifecycle::State,
    table::{InflightTable, InflightTask},
};
use crate::{route::Route, task::TaskId};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How far a task has come, in the words of who reads lists of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// The broker has not confirmed its message.
    Publishing,
    /// The broker has it, and no worker has said a word of it.
    Waiting,
    /// A worker has said that it works on it.
    Working,
    /// Its outcome is on the way to AWS.
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

/// One of the list.
#[derive(Debug)]
pub struct Listed {
    /// The task.
    pub id: TaskId,
    /// Its route.
    pub route: Arc<Route>,
    /// How far it has come.
    pub progress: Progress,
    /// The time since it was polled.
    pub age: Duration,
    /// The time since AWS took a heartbeat for it; `None` where it has taken none.
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
}

impl InflightTask {
    fn listed(&self, id: TaskId, now: Instant) -> Listed {
        let progress = match self.state {
            State::Settling | State::Ended => Progress::Settling,
            State::Publishing | State::Dispatched if self.schedule.has_begun() => Progress::Working,
            State::Publishing => Progress::Publishing,
            State::Dispatched => Progress::Waiting,
        };
        let heard = self.schedule.last_heartbeat();
        Listed {
            id,
            route: Arc::clone(&self.route),
            progress,
            age: self.polled_at.elapsed().unwrap_or_default(),
            last_heartbeat: heard.map(|at| now.saturating_duration_since(at)),
        }
    }
}
