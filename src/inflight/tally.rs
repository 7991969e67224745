//! The tasks in flight as numbers.

use crate::{task::Progress, util::Label};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// Number of tasks that are counted anew for each question. That costs less than the answer.
const FEW: usize = 1_000;

/// For this time the numbers of more tasks are kept, however often somebody asks.
const KEPT: Duration = Duration::from_secs(1);

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

    /// Counts a task that was polled at this time.
    pub(super) fn add(&mut self, progress: Progress, at: SystemTime) {
        self.by_progress[progress.index()] += 1;
        self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
    }
}

/// The numbers of each route that has a task in flight, by the route's name.
pub type Tallies = HashMap<String, Tally>;

/// The newest numbers of many tasks.
#[derive(Debug, Default)]
pub(super) struct LastTallies(Mutex<Option<(Instant, Arc<Tallies>)>>);

impl LastTallies {
    /// The numbers of so many tasks, which `count` counts if it must.
    pub(super) fn get(&self, tasks: usize, count: impl FnOnce() -> Tallies) -> Arc<Tallies> {
        let mut last = self.0.lock();
        if tasks <= FEW {
            *last = None;
            return Arc::new(count());
        }
        match &*last {
            Some((at, known)) if at.elapsed() < KEPT => Arc::clone(known),
            _ => {
                let counted = Arc::new(count());
                *last = Some((Instant::now(), Arc::clone(&counted)));
                counted
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn many_tasks_are_counted_once_a_second_and_few_each_time() {
        let last = LastTallies::default();
        let counted = Cell::new(0);
        let ask = |tasks| {
            let count = || {
                counted.set(counted.get() + 1);
                Tallies::new()
            };
            last.get(tasks, count);
            counted.get()
        };
        assert_eq!([ask(FEW), ask(FEW)], [1, 2]);
        assert_eq!([ask(FEW + 1), ask(FEW + 1)], [3, 3]);
        advance(KEPT - Duration::from_millis(1)).await;
        assert_eq!(ask(FEW + 1), 3);
        advance(Duration::from_millis(1)).await;
        assert_eq!([ask(FEW + 1), ask(10 * FEW)], [4, 4]);
        assert_eq!([ask(FEW), ask(FEW + 1)], [5, 6]);
    }
}
