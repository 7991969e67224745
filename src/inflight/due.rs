//! The heartbeats of all tasks in flight: which task is due next, and what AWS's answers change.

use super::{
    heartbeat_schedule::Due,
    lifecycle::{Command, Event, State},
    table::{InflightTable, InflightTask, Table, TaskHandle},
};
use crate::{
    source::rate_limit,
    task::{Status, TaskId},
};
use parking_lot::MutexGuard;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A task in flight for which something is due.
#[derive(Debug)]
pub struct DueTask {
    /// The handle of the task.
    pub handle: TaskHandle,
    /// What is due.
    pub due: Due,
    /// The urgency of a heartbeat.
    pub urgency: rate_limit::Due,
    /// Timeout for the answer to a heartbeat.
    pub answer_timeout: Duration,
}

impl InflightTable {
    /// Notes a worker's sign of life. Returns the status of the task, and whether this is the first sign of life of the task.
    pub fn on_sign(&self, id: TaskId, details: String) -> (Status, bool) {
        let mut table = self.table();
        if table.step(id, Event::Beat) != Command::Heartbeat {
            return (Status::Gone, false);
        }
        let Some(entry) = table.open.get_mut(&id) else {
            return (Status::Gone, false);
        };
        let first = entry.schedule.sign(details);
        let had_it_before = entry.lost_at.is_some();
        let status = match entry.cancel_requested {
            true => Status::CancelRequested,
            false => Status::Alive,
        };
        if had_it_before {
            // This worker got the message before the broker lost it. Nothing is to be published.
            table.step(id, Event::Confirmed);
        }
        self.reschedule(table, id);
        (status, first)
    }

    /// Waits until something is due, or until something else becomes due first.
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

    /// Returns the first task for which something is due; `None` if there is none. Nothing else is due for that task until the
    /// heartbeat has ended.
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
            entry.schedule.enqueue();
        }
        Some(DueTask {
            handle: entry.handle(id),
            due,
            urgency: rate_limit::Due {
                deadline: entry.schedule.times_out(),
                urgent_from: entry.schedule.urgent_from(),
            },
            answer_timeout: entry.schedule.answer_timeout(),
        })
    }

    /// The details of the heartbeat to send now; `None` if the task has ended meanwhile or the heartbeat is no longer due.
    pub fn begin_beat(&self, id: TaskId, now: Instant) -> Option<String> {
        self.with_schedule(id, |entry| entry.schedule.send(now))?
    }

    /// Notes that AWS accepted a heartbeat. True if AWS requests a cancel that was not announced to the worker yet.
    pub fn beat_accepted(&self, id: TaskId, sent: Instant, cancel: bool) -> bool {
        let cancel_is_new = self.with_schedule(id, |entry| {
            let used = entry
                .schedule
                .accepted(sent, Instant::now(), rand::random());
            if let Some(part) = used {
                entry.route.metrics.timeout_used(part);
            }
            let open = entry.state != State::Settling;
            open && cancel && !std::mem::replace(&mut entry.cancel_requested, true)
        });
        cancel_is_new.unwrap_or(false)
    }

    /// Notes that a heartbeat failed. `rejected` says that AWS refused its details as not valid.
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

    /// Puts a task in its place in the order of what is due, and wakes the waiting caller if it is now the first.
    pub(crate) fn reschedule(&self, mut table: MutexGuard<'_, Table>, id: TaskId) {
        let sooner = table.reschedule(id);
        drop(table);
        if sooner {
            self.sooner.notify_one();
        }
    }
}

impl Table {
    /// True if this task is now the first in the order.
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
