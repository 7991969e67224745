//! The tasks in flight as a list, with what people may see of each. It contains no token and no input.

use super::{
    lifecycle::State,
    table::{InflightTable, InflightTask},
};
use crate::{
    route::Route,
    task::{Progress, TaskId},
    util::Label,
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
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

/// The tasks in flight of one route, as numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// The number of tasks, by [`Progress::index`](Label::index).
    pub by_progress: [usize; Progress::ALL.len()],
    /// When the oldest of them was polled; `None` if there is none.
    oldest: Option<SystemTime>,
}

impl Tally {
    /// The time since the oldest task was polled; zero if there is none.
    #[must_use]
    pub fn oldest_age(&self) -> Duration {
        let age = self.oldest.map(|at| at.elapsed().unwrap_or_default());
        age.unwrap_or_default()
    }

    fn add(&mut self, entry: &InflightTask) {
        self.by_progress[entry.progress().index()] += 1;
        let at = entry.polled_at;
        self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
    }
}

impl InflightTable {
    /// The numbers of each route that has a task in flight, by the route's name.
    #[must_use]
    pub fn tally(&self) -> HashMap<String, Tally> {
        let table = self.table();
        let mut tallies = HashMap::<String, Tally>::new();
        for entry in table.open.values() {
            match tallies.get_mut(entry.route.name()) {
                Some(tally) => tally.add(entry),
                None => tallies
                    .entry(entry.route.name().to_owned())
                    .or_default()
                    .add(entry),
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
