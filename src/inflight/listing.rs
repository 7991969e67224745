//! The tasks in flight as a list, with what people may see of each. It contains no token and no input.

use super::{
    lifecycle::State,
    table::{InflightTable, InflightTask},
    tally::Tallies,
};
use crate::{
    route::Route,
    task::{Progress, TaskId},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

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
    /// The numbers of each route that has a task in flight. With more than 1,000 tasks they may be 1 s old, because whoever reaches the
    /// admin endpoint may ask again and again.
    #[must_use]
    pub fn tally(&self) -> Arc<Tallies> {
        let tasks = self.table().open.len();
        self.last_tallies.get(tasks, || self.count())
    }

    fn count(&self) -> Tallies {
        let table = self.table();
        let mut tallies = Tallies::new();
        for entry in table.open.values() {
            let (progress, at) = (entry.progress(), entry.polled_at);
            match tallies.get_mut(entry.route.name()) {
                Some(tally) => tally.add(progress, at),
                None => tallies
                    .entry(entry.route.name().to_owned())
                    .or_default()
                    .add(progress, at),
            }
        }
        tallies
    }

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
    pub(super) fn progress(&self) -> Progress {
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
