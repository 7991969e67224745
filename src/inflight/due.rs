//! The heartbeats of the tasks in flight: whose is due, and what AWS's answers mean for it.

use super::{
    heartbeat_schedule::{Due, Terms},
    lifecycle::{Command, Event, State},
    table::{InflightTable, InflightTask, Table, TaskHandle},
};
use crate::{
    source::rate_limit,
    task::{Status, Task, TaskId},
};
use parking_lot::MutexGuard;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A flight that is due for something.
#[derive(Debug)]
pub struct DueTask {
    /// What is needed to see to it.
    pub handle: TaskHandle,
    /// What for.
    pub due: Due,
    /// How urgent a heartbeat is.
    pub urgency: rate_limit::Due,
    /// How long to wait for its answer.
    pub patience: Duration,
}

impl InflightTable {
    /// Takes note of the timeouts that were learnt after the task was entered.
    pub fn set_timeouts(&self, task: &Task) {
        self.with_schedule(task.id, |entry| {
            let terms = Terms::new(&entry.route.config.heartbeat, task.timeouts.heartbeat);
            entry.timeouts = task.timeouts;
            entry.schedule.set_timeouts(terms, rand::random());
        });
    }

    /// A worker says that it is alive. Returns how the task fares, and whether this is the first word of any worker.
    pub fn on_sign(&self, id: TaskId, details: String) -> (Status, bool) {
        let mut table = self.table();
        if table.step(id, Event::Beat) != Command::Heartbeat {
            return (Status::Gone, false);
        }
        let Some(entry) = table.open.get_mut(&id) else {
            return (Status::Gone, false);
        };
        let first = entry.schedule.sign(details);
        let status = match entry.cancel_requested {
            true => Status::CancelRequested,
            false => Status::Alive,
        };
        self.reschedule(table, id);
        (status, first)
    }

    /// Waits until something is due, or until what is due first has changed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn wait_for_due(&self) {
        let first = self.table().due.first().map(|(at, _)| *at);
        let due = async {
            match first {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = self.sooner.notified() => {}
        }
    }

    /// One of the flights that are due, which is then no longer due until it has been seen to. `None` where no more is.
    pub fn next_due(&self, now: Instant) -> Option<DueTask> {
        let mut table = self.table();
        let (at, id) = *table.due.first()?;
        if at > now {
            return None;
        }
        table.due.pop_first();
        let entry = table.open.get_mut(&id)?;
        entry.due = None;
        let (_, due) = entry.schedule.due()?;
        if due == Due::Beat {
            entry.schedule.want();
        }
        Some(DueTask {
            handle: entry.handle(id),
            due,
            urgency: rate_limit::Due {
                deadline: entry.schedule.times_out(),
                urgent_from: entry.schedule.urgent(),
            },
            patience: entry.schedule.patience(),
        })
    }

    /// The details of the heartbeat to send now; `None` where the task has ended meanwhile, or none is due any more.
    pub fn begin_beat(&self, id: TaskId, now: Instant) -> Option<String> {
        self.with_schedule(id, |entry| entry.schedule.send(now))?
    }

    /// AWS took a heartbeat that was sent at `sent`, and has answered now. True where it wants the task canceled and the worker has not been told.
    pub fn beat_accepted(&self, id: TaskId, sent: Instant, cancel: bool) -> bool {
        let news = self.with_schedule(id, |entry| {
            entry
                .schedule
                .accepted(sent, Instant::now(), rand::random());
            let open = entry.state != State::Settling;
            open && cancel && !std::mem::replace(&mut entry.cancel_requested, true)
        });
        news.unwrap_or(false)
    }

    /// A heartbeat came to nothing; with `rejected`, because AWS does not take its details.
    pub fn beat_failed(&self, id: TaskId, rejected: bool) {
        self.with_schedule(id, |entry| {
            if rejected {
                entry.schedule.reject_details();
            }
            entry.schedule.failed(Instant::now(), rand::random());
        });
    }

    pub(crate) fn with_schedule<T>(
        &self,
        id: TaskId,
        act: impl FnOnce(&mut InflightTask) -> T,
    ) -> Option<T> {
        let mut table = self.table();
        let done = act(table.open.get_mut(&id)?);
        self.reschedule(table, id);
        Some(done)
    }

    /// Puts a flight in its place in the order of what is due.
    pub(crate) fn reschedule(&self, mut table: MutexGuard<'_, Table>, id: TaskId) {
        let sooner = table.reschedule(id);
        drop(table);
        if sooner {
            self.sooner.notify_one();
        }
    }
}

impl Table {
    /// True where this flight is now due before all others.
    fn reschedule(&mut self, id: TaskId) -> bool {
        let Some(entry) = self.open.get_mut(&id) else {
            return false;
        };
        let due = entry.schedule.due().map(|(at, _)| at);
        if due == entry.due {
            return false;
        }
        if let Some(old) = std::mem::replace(&mut entry.due, due) {
            self.due.remove(&(old, id));
        }
        let Some(at) = due else {
            return false;
        };
        self.due.insert((at, id));
        self.due.first() == Some(&(at, id))
    }
}
